"""The Python interface: load a model and run it. What the commands use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .errors import TrilobiteError
from .quant.checkpoint import open_checkpoint
from .runtime.decoder import Decoder
from .runtime.language_model import LanguageModel

__all__ = ["load"]


def load(
    path: str | Path, kv: Literal["auto", "int8", "float32"] = "auto",
    progress: Callable[[str], None] | None = None,
) -> LanguageModel:
    """Load a checkpoint folder, quantized or not.

    Parameters
    ----------
    path
        A folder with config.json and safetensors, or ``demo-bitnet`` or ``demo-llama``.
    kv
        How keys and values are cached; ``auto`` takes int8 for a model that ``trilobite.quantize``
        wrote and float32 for any other.
    progress
        Called with each tensor's name as it is loaded.

    Raises
    ------
    CheckpointError
        The folder is not a checkpoint that is understood in every part.
    """
    if kv not in ("auto", "int8", "float32"):
        raise TrilobiteError(f"KV cache kind {kv!r} is unknown; known are auto, int8, float32")
    with open_checkpoint(path) as checkpoint:
        if kv == "auto":
            kv = "float32" if checkpoint.quantization is None else "int8"
        decoder = Decoder(checkpoint.config, checkpoint.weight, progress)
        return LanguageModel(checkpoint.folder, decoder, kv)
