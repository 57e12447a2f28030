"""Load a model and run it, export it, calibrate its cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from ..errors import FormatError, OutputError, TrilobiteError
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..quant.export import EXPORTERS, ExportRecord
from ..quant.export import export as export_checkpoint
from ..runtime.calibration_text import SEQUENCES, CalibrationText, choose_text
from ..runtime.decoder import Decoder
from ..runtime.kv_cache import KVKind, make_cache
from ..runtime.kv_scales import KeyRecorder, key_factors, read_factors, write_factors
from ..runtime.language_model import LanguageModel
from ..tools.progress import SILENT, Progress

__all__ = ["calibrate_kv", "calibration", "export", "load"]


def load(
    path: str | Path, kv: KVKind | Literal["auto"] = "auto",
    progress: Progress = SILENT,
    kv_scales: str | Path | None = None, mmap: bool = True,
) -> LanguageModel:
    """Load a checkpoint folder, quantized or not.

    Threads may share the model, and load models at the same time: see ``LanguageModel``.

    Parameters
    ----------
    path
        A folder with config.json and safetensors, a GGUF file, or ``demo-bitnet`` or
        ``demo-llama``.
    kv
        How keys and values are cached: ``int8``, ``int4``, ``fp8``, ``float32``; ``auto`` takes
        int8 for a model that ``trilobite.quantize`` wrote and float32 for any other.
    progress
        Is told how many tensors are loaded, and which.
    kv_scales
        A file of ``calibrate_kv``: static scales of key channels.
    mmap
        Use weights that kernels read in the stored order where the file is mapped. It must not
        shrink or change as long as the model is used; False copies them.

    Raises
    ------
    CheckpointError
        The folder is not a checkpoint that is understood in every part.
    """
    if kv not in ("auto", *get_args(KVKind)):
        known = ", ".join(("auto", *get_args(KVKind)))
        raise TrilobiteError(f"KV cache kind {kv!r} is unknown; known are {known}")
    with open_checkpoint(path, mmap) as checkpoint:
        if kv == "auto":
            kv = "float32" if checkpoint.quantization is None else "int8"
        factors = None if kv_scales is None else read_factors(Path(kv_scales), checkpoint.config)
        decoder = Decoder(checkpoint.config, checkpoint.weight, progress)
        return LanguageModel(checkpoint.folder, decoder, kv, _files(checkpoint), factors)


def export(
    source: str | Path, out: str | Path, to: str, type: str | None = None, overwrite: bool = False
) -> ExportRecord:
    """Write a checkpoint in the form that another tool reads, and say what was done.

    Parameters
    ----------
    source
        A checkpoint folder, quantized or not, a GGUF file, or ``demo-bitnet`` / ``demo-llama``.
    out
        The file (gguf) or folder (hf, onnx) to write; it appears only when it is complete.
    to
        ``gguf``, ``hf`` or ``onnx``.
    type
        How weights are stored, as ``trilobite export --type`` takes it; None takes what holds the
        model's own codes.
    overwrite
        Replace what is there.

    Raises
    ------
    CheckpointError
        The source is missing, damaged or not understood, or the target has no such architecture.
    FormatError
        The target or the type is unknown, or cannot hold the model.
    OutputError
        ``out`` exists or cannot be written; nothing is left behind.
    """
    if to not in EXPORTERS:
        raise FormatError(f"Export target {to!r} is unknown; known are {', '.join(EXPORTERS)}")
    return export_checkpoint(source, out, EXPORTERS[to], type, overwrite)


def calibrate_kv(path: str | Path, out: str | Path, text: CalibrationText) -> None:
    """Write static scales of a model's key channels, measured on ``text``, to the file ``out``.

    A safetensors file for ``load(..., kv_scales=out)``; see ``runtime.kv_scales`` for the rule. The
    keys are those that the model computes with an int8 cache, or float32 if it is not quantized.

    Raises
    ------
    CheckpointError
        As ``load`` does.
    OutputError
        ``out`` exists or cannot be written.
    """
    if Path(out).exists():
        raise OutputError(f"{out} exists; choose another file, or remove it")
    model = load(path)
    config = model.config
    recorder = KeyRecorder(config, make_cache(model.kv, config, text.sequences.shape[1]))
    for sequence in text.sequences:
        model.decoder.hidden(sequence, recorder, 0)
    try:
        write_factors(Path(out), key_factors(recorder))
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from None


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
