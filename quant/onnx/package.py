"""The package ``onnx``, which is an extra: asked for by name where it is missing."""

from __future__ import annotations

import importlib.util

from ...errors import FormatError, ToolError

__all__ = ["OPSETS", "ir_version", "oldest_ir_version", "require_onnx"]

# What is written: blocked DequantizeLinear begins with opset 21; onnxruntime 1.31 ends with 26.
OPSETS = range(21, 27)
_IR_HISTORY = ((8, 3), (9, 4), (10, 5), (11, 6), (14, 7), (18, 8), (20, 9), (22, 10), (23, 11),
               (24, 12), (26, 13))   # last opset of each, from onnx's table of versions
_IR_VERSIONS = {21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}


def require_onnx() -> None:
    """Raise ``ToolError`` unless the package ``onnx`` can be imported."""
    if importlib.util.find_spec("onnx") is None:
        raise ToolError(
            "ONNX models need the package onnx; install it with: pip install 'trilobite[onnx]'"
        )


def ir_version(opset: int) -> int:
    """The file format's version that belongs to an operator set of ``OPSETS``.

    Raises
    ------
    FormatError
        The operator set is none of ``OPSETS``.
    """
    if opset not in _IR_VERSIONS:
        raise FormatError(
            f"ONNX opset {opset} is not written; choose {OPSETS[0]} to {OPSETS[-1]}"
        )
    return _IR_VERSIONS[opset]


def oldest_ir_version(opset: int) -> int:
    """The first version of the file format in which an opset, or a type that came with it, is."""
    return next((ir for known, ir in _IR_HISTORY if known >= opset), _IR_HISTORY[-1][1])
