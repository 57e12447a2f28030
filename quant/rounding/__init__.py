"""Weights in row blocks: read, rounded to a format in threads, and their errors measured."""
