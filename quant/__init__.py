"""Number formats, checkpoints in and out, and the pipeline that turns one into the other."""
