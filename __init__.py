"""Trilobite: from a real language-model checkpoint down to low-bit edge hardware.

``quantize`` writes a low-bit copy of a checkpoint, ``load`` runs a checkpoint, low-bit or not,
``export`` writes one as files that other tools read.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["__version__", "calibration", "export", "load", "quantize"]

__version__ = "0.1.0"

# Imported when first used: the runtime brings Numba, which `trilobite --help` should not wait for.
_HOMES = {
    "calibration": ".api.models", "export": ".api.models", "load": ".api.models",
    "quantize": ".quant.pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
