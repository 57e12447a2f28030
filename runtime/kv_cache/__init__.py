"""Keys and values of past tokens: in float32, in FP8, or as integers, with scales of keys."""
