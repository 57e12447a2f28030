"""Trilobite: from a real language-model checkpoint down to low-bit edge hardware.

``quantize`` writes a low-bit copy of a checkpoint, in a number format such as
``Int4(group_size=64)``, and ``quantize_onnx`` one of an ONNX model; ``load`` runs a checkpoint,
low-bit or not; ``export`` writes one as files that other tools read.

Functions print nothing: they return results, with ``warnings`` where there are any, and tell a
``Progress`` how far they are. Errors that a user can mend are ``TrilobiteError``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Imported when first used: the runtime brings Numba, which `trilobite --help` should not wait for.
_MODULES = {
    ".api.bench": ("BenchResult", "bench"),
    ".api.build": ("Build", "build"),
    ".api.calibrate": ("CalibratedMachine", "calibrate"),
    ".api.chat": ("Conversation", "chat"),
    ".api.devices": ("DescribedDevice", "devices"),
    ".api.estimate": ("Estimates", "MachineEstimates", "RunComparison", "estimate",
                      "estimate_here", "range_text"),
    ".api.explore": ("Exploration", "explore"),
    ".api.explore_checks": ("Checking", "DesignChecks", "check_designs"),
    ".api.export": ("ExportRecord", "export"),
    ".api.image": ("WrittenImage", "image"),
    ".api.inspect": ("ModelDescription", "inspect"),
    ".api.models": ("Evaluation", "GenerationResult", "KVCalibration", "calibrate_kv",
                    "calibration", "evaluate", "generate", "load"),
    ".api.quantize": ("quantize", "quantize_onnx"),
    ".api.run": ("BoardRun", "run"),
    ".api.self_test": ("SelfTest", "self_test"),
    ".api.server.serve": ("serve",),
    ".api.serving": ("Request", "ServedRequests", "draw_requests", "serve_sim"),
    ".api.study": ("StudyResult", "studies", "study"),
    ".api.synth": ("SynthesizedBlocks", "synth"),
    ".api.verify": ("TimedEngine", "VerifiedDecoder", "VerifiedEngine", "time_engine",
                    "verify_decoder", "verify_engine"),
    ".api.verify_shape": ("CountedShape", "verify_shape"),
    ".errors": ("TrilobiteError",),
    ".runtime.sampling": ("Sampling",),
    ".quant.formats": ("Fp8", "GroupedTernary", "Hlq2", "Hlq3", "Int2", "Int3", "Int4", "Int4Fp8",
                       "Int8", "Mxfp4", "Nvfp4", "Ternary", "TernaryPlanes"),
    ".tools.progress": ("Progress", "Silent"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - names that are made of a table


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
