"""Outside programs, and folders that are made once and then only read."""
