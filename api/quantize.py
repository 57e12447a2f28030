"""Make a low-bit copy of a checkpoint, or of an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FormatError
from ..quant.formats import Format
from ..quant.methods import METHODS, ROUNDING
from ..quant.onnx import require_onnx
from ..quant.pipeline import estimate_memory, quantize
from ..tools.progress import SILENT, Progress

if TYPE_CHECKING:
    from ..quant.onnx.record import OnnxManifest

__all__ = ["estimate_memory", "is_onnx", "needs_text", "quantize", "quantize_onnx"]


def needs_text(method: str) -> bool:
    """Whether ``quantize`` with ``method`` needs calibration text."""
    return method in METHODS and METHODS[method].calibrates


def is_onnx(source: str | Path) -> bool:
    """Whether ``source`` is an ONNX model, for ``quantize_onnx``, and not a checkpoint."""
    return str(source).lower().endswith(".onnx")


def quantize_onnx(
    source: str | Path, out: str | Path, format: Format | str | None = None, *,
    method: str = ROUNDING, layout: str = "qdq", strict: bool = False, allow_float: bool = False,
    overwrite: bool = False, dry_run: bool = False, progress: Progress = SILENT,
) -> OnnxManifest:
    """Quantize the constant weights of MatMul and Gemm in an ONNX model, and say what was done.

    Beside ``out`` appear ``OUT.manifest.json`` and, of a large model, ``OUT.data``; the result's
    ``skipped`` are the weights that stay float, each with the reason.

    Parameters
    ----------
    source, out
        The model, which is not trusted, and the model to write.
    format
        As ``quantize`` takes it; there is no default.
    method
        ``rtn``: a graph does not name the layers that other methods need.
    layout
        ``qdq``, ``matmulnbits`` or ``matmulnbits-float``: see ``quant.onnx.quantize``.
    strict, allow_float, overwrite, dry_run, progress
        As in ``quantize``.

    Raises
    ------
    TrilobiteError
        The package onnx is not installed, or as ``quant.onnx.quantize.quantize_onnx`` does.
    """
    if method != ROUNDING:
        raise FormatError(
            f"Method {method} needs the model's layers, which an ONNX graph does not name; its "
            f"weights are rounded (--method {ROUNDING})"
        )
    if format is None:
        raise FormatError(
            f"There is no default format for {source}: choose one, such as int8, or int4 for a "
            "fraction of the bytes at a greater loss"
        )
    require_onnx()
    from ..quant.onnx.quantize import quantize_onnx as quantize_model  # noqa: PLC0415

    return quantize_model(
        source, out, format, layout, strict, allow_float, overwrite, dry_run, progress
    )
