"""Matmul kernels of weights in floating point: FP8, four-bit floats, float32."""
