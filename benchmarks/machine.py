"""The machine that results come from, and how its instruction set is restricted."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import numba
import numpy as np
from numba.core.codegen import get_host_cpu_features

from trilobite.runtime.kernels.choice import chosen_kernel, cpu_features

__all__ = ["ISAS", "environment", "machine", "without_avx512"]

ISAS = ("host", "avx2")
_TOLD = ("avx2", "avx512f", "avx512vnni", "avx512vbmi", "avx512bf16", "amx-int8")
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PACKAGES = ("llama-cpp-python", "onnxruntime")


def without_avx512(features: str) -> str:
    """LLVM's list of ``features`` with everything off that a CPU with AVX2 at most has not."""
    parts = features.split(",")
    newer = ("avx512", "avx10", "amx", "avxvnni", "avxifma", "gfni", "vaes", "vpclmulqdq", "evex")
    return ",".join(
        "-" + part[1:] if part[1:].startswith(newer) else part for part in parts
    )


def environment(threads: int, isa: str) -> dict[str, str]:
    """Variables that a process needs before it starts, to run with ``threads`` and an ``ISAS``.

    BLAS reads its number of threads, and Numba its CPU, when they are loaded. With ``avx2`` Numba
    compiles for this CPU without AVX-512 and its companions, and OpenBLAS takes its AVX2 kernels.
    """
    variables = dict.fromkeys(_BLAS_THREADS, str(threads))
    if isa == "avx2":
        variables |= {
            "NUMBA_CPU_FEATURES": without_avx512(get_host_cpu_features()),
            "OPENBLAS_CORETYPE": "Haswell",
        }
    return variables


def machine() -> dict[str, object]:
    """What the results depend on."""
    facts = _cpuinfo()
    cpu = facts.get("model name", platform.processor())
    if "cpu family" in facts:
        cpu += f", family {facts['cpu family']} model {facts['model']}"
    return {
        "cpu": cpu,
        "llvm_cpu": numba.core.codegen.ll.get_host_cpu_name(),
        "features": [name for name in _TOLD if name in cpu_features()],
        "cores": os.cpu_count(),
        "kernel": chosen_kernel(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
    } | {name: _version(name) for name in _PACKAGES}


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first core; empty where it says nothing."""
    path = Path("/proc/cpuinfo")
    first = path.read_text().split("\n\n")[0] if path.exists() else ""
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
