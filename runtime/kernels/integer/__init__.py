"""Matmul kernels of integer weights: INT8, INT4, narrower ones, and planes of bits."""
