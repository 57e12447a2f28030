"""Matmul kernels of ternary weights: the portable definition, and its fast forms by CPU."""
