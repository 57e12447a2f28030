"""One file per weight format: a matmul that is exact in its integers."""
