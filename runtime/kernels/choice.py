"""Which kernels run: the best that the CPU has, or what ``TRILOBITE_KERNEL`` asks for."""

from __future__ import annotations

import os
from functools import cache

from ...errors import TrilobiteError
from ...tools.compiled import config, numba
from .arm_features import arm_dot_products

__all__ = [
    "KERNELS",
    "VARIABLE",
    "available_kernels",
    "chosen_kernel",
    "cpu_features",
    "lookup_vectors",
]

VARIABLE = "TRILOBITE_KERNEL"

# By name, what a CPU must have; the fastest first. All give the same bits.
KERNELS: dict[str, frozenset[str]] = {
    "vnni": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512vnni"}),
    "avx512": frozenset({"avx512f", "avx512bw", "avx512vl"}),
    "avx2": frozenset({"avx2"}),
    "lookup": frozenset({"avx2"}),
    "dotprod": frozenset({"dotprod"}),
    "portable": frozenset(),
}


@cache
def cpu_features() -> frozenset[str]:
    """Names, as LLVM has them, of the instruction sets that Numba compiles for.

    ``NUMBA_CPU_FEATURES`` and ``NUMBA_ENABLE_AVX`` restrict them; with ``NUMBA_CPU_NAME`` alone
    they are unknown: none, but for an ARM CPU's dot products.
    """
    listed = config.CPU_FEATURES
    if listed is None:
        listed = numba.core.codegen.get_host_cpu_features() if config.CPU_NAME is None else ""
    named = frozenset(name[1:] for name in listed.split(",") if name.startswith("+"))
    return named | arm_dot_products()


def available_kernels() -> list[str]:
    """The kernels that this CPU runs, fastest first."""
    return [name for name, needed in KERNELS.items() if needed <= cpu_features()]


def chosen_kernel() -> str:
    """A key of ``KERNELS``: what ``TRILOBITE_KERNEL`` says, else the fastest available.

    Raises
    ------
    TrilobiteError
        There is no kernel of that name, or this CPU cannot run it.
    """
    available = available_kernels()
    name = os.environ.get(VARIABLE) or available[0]
    if name not in KERNELS:
        raise TrilobiteError(f"{VARIABLE} is {name!r}; it may be {', '.join(map(repr, KERNELS))}")
    if name not in available:
        missing = sorted(KERNELS[name] - cpu_features())
        raise TrilobiteError(
            f"{VARIABLE} is {name!r}, which needs {', '.join(missing)}; "
            f"this CPU runs {', '.join(map(repr, available))}"
        )
    return name


def lookup_vectors() -> int:
    """Vectors in which the chosen kernel looks up 64 rows by ``pshufb``; 0 if it does not.

    ``lookup`` takes the widest that the CPU has.
    """
    kernel = chosen_kernel()
    wide = KERNELS["avx512"] <= cpu_features()
    return {"vnni": 1, "avx512": 1, "avx2": 2, "lookup": 1 if wide else 2}.get(kernel, 0)
