"""The ternary model that hardware runs."""

from __future__ import annotations

from pathlib import Path

from ..errors import TrilobiteError
from ..quant.checkpoint import open_checkpoint
from ..quant.pipeline import quantize

__all__ = ["ternary_copy"]


def ternary_copy(model: str, folder: Path, done: str) -> tuple[str | Path, tuple[str, ...]]:
    """``model`` itself, or a ternary copy in ``folder`` of one that was trained ternary.

    With a sentence on the copy: that it, and not the model, is ``done``.

    Raises
    ------
    TrilobiteError
        The model is neither quantized nor trained ternary.
    """
    with open_checkpoint(model) as checkpoint:
        if checkpoint.quantization is not None:
            return model, ()
        if not checkpoint.config.bitlinear:
            raise TrilobiteError(
                f"{model} is not quantized, and the accelerator multiplies ternary weights, or "
                "those of a few bits; quantize the model with --format ternary first, or with "
                "--format int4 for an accelerator that has scales of groups (scale_lanes)")
    quantize(model, folder, format="ternary")
    return folder, (
        f"{model} holds master weights; its ternary copy with int8 embedding is {done}.",)
