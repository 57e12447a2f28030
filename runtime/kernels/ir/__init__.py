"""LLVM IR that kernels are built of, by instruction set."""
