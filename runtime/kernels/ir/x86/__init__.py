"""LLVM IR for x86: AVX2, AVX-512, VNNI and VBMI, as Numba intrinsics."""
