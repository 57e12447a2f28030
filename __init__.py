"""Trilobite: from a real language-model checkpoint down to low-bit edge hardware.

``quantize`` writes a low-bit copy of a checkpoint, in a number format such as
``Int4(group_size=64)``, and ``quantize_onnx`` one of an ONNX model; ``load`` runs a checkpoint,
low-bit or not; ``export`` writes one as files that other tools read.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FORMATS = (
    "Fp8", "GroupedTernary", "Hlq2", "Hlq3", "Int2", "Int3", "Int4", "Int4Fp8", "Int8", "Mxfp4",
    "Nvfp4", "Ternary", "TernaryPlanes",
)
__all__ = ["__version__", "calibrate", "calibration", "check_designs", "devices", "draw_requests",  # noqa: PLE0604
           "estimate", "estimate_here", "explore", "export", "load", "quantize", "quantize_onnx",
           "serve_sim", "synth", "time_engine", "verify_decoder", "verify_engine", "verify_shape",
           *_FORMATS]

__version__ = "0.1.0"

# Imported when first used: the runtime brings Numba, which `trilobite --help` should not wait for.
_HOMES = {
    "calibrate": ".api.calibrate", "calibration": ".api.models",
    "check_designs": ".api.explore_checks", "devices": ".api.devices",
    "draw_requests": ".api.serving", "estimate": ".api.estimate", "estimate_here": ".api.estimate",
    "explore": ".api.explore", "export": ".api.models", "load": ".api.models",
    "quantize": ".api.quantize", "quantize_onnx": ".api.quantize", "serve_sim": ".api.serving",
    "synth": ".api.synth",
    "time_engine": ".api.verify", "verify_decoder": ".api.verify", "verify_engine": ".api.verify",
    "verify_shape": ".api.verify_shape",
} | dict.fromkeys(_FORMATS, ".quant.formats")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
