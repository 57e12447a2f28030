"""Many requests at a time on one model: their tokens are decoded together."""
