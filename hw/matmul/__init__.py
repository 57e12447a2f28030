"""Table-lookup and sign-select matmul engines, what they are made of, and their cycles."""
