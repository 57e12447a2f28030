"""Number formats, one file each: ternary, INT4, INT8, FP8."""
