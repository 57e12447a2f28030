"""The Python interface: load a model and run it. What the commands use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .errors import TrilobiteError
from .quant.checkpoint import Checkpoint, open_checkpoint
from .runtime.calibration_text import SEQUENCES, CalibrationText, choose_text
from .runtime.decoder import Decoder
from .runtime.language_model import LanguageModel

__all__ = ["calibration", "load"]


def load(
    path: str | Path, kv: Literal["auto", "int8", "float32"] = "auto",
    progress: Callable[[str], None] | None = None,
) -> LanguageModel:
    """Load a checkpoint folder, quantized or not.

    Parameters
    ----------
    path
        A folder with config.json and safetensors, a GGUF file, or ``demo-bitnet`` or
        ``demo-llama``.
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
        return LanguageModel(checkpoint.folder, decoder, kv, _files(checkpoint))


def calibration(
    source: str | Path, text: str | Path | None = None, sequences: int = SEQUENCES, seed: int = 0
) -> CalibrationText:
    """Text for the methods of ``quantize`` that calibrate: the same arguments, the same text.

    Parameters
    ----------
    source
        The checkpoint that will be quantized; its tokenizer is used.
    text
        A UTF-8 text file; None takes what the model's training.json names: for the demo models
        modules of Python's standard library that are not held out.
    sequences
        How many pieces of 512 tokens.
    seed
        Which pieces of the text.

    Raises
    ------
    TrilobiteError
        There is no such text, or too little of it.
    """
    with open_checkpoint(source) as checkpoint:
        file = None if text is None else Path(text)
        files = _files(checkpoint)
        return choose_text(
            checkpoint.folder, checkpoint.config, file, sequences, seed, files and files()
        )


def _files(checkpoint: Checkpoint) -> Callable[[], dict[str, bytes]] | None:
    """What gives the tokenizer's files, where they are not in a folder."""
    return None if checkpoint.folder.is_dir() else checkpoint.companions
