"""Rows of float32 on their way between matmuls: norm, rotary, gates, sums, the quantizer."""
