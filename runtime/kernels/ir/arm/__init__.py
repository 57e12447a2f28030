"""LLVM IR for AArch64: NEON with dot products of bytes, as Numba intrinsics."""
