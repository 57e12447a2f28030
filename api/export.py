"""Write a model as files that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import FormatError
from ..hw.weights.images import WeightImages
from ..quant.export import EXPORTERS, Exporter, ExportRecord
from ..quant.export import export as export_checkpoint
from ..quant.export.onnx import Onnx
from ..tools.progress import SILENT, Progress

__all__ = ["ExportRecord", "export", "targets"]

_HEX = "hex"   # which the hardware's own exporter writes

# Options that one target only has.
_OPTIONS = {"onnx": {"opset"}, _HEX: {"hardware", "word_bytes"}}


def export(
    source: str | Path, out: str | Path, to: str, type: str | None = None, overwrite: bool = False,
    progress: Progress = SILENT, *, opset: int | None = None, hardware: str | Path | None = None,
    word_bytes: int | None = None,
) -> ExportRecord:
    """Write a checkpoint in the form that another tool reads, and say what was done.

    Parameters
    ----------
    source
        A checkpoint folder, quantized or not, a GGUF file, or ``demo-bitnet`` / ``demo-llama``.
    out
        The file (gguf) or folder (hf, onnx, hex) to write; it appears only when it is complete.
    to
        ``gguf``, ``hf``, ``onnx``, or ``hex``: memory images for the table-lookup engine.
    type
        How weights are stored, as ``trilobite export --type`` takes it; None takes what holds the
        model's own codes.
    overwrite
        Replace what is there.
    progress
        Is told how far the work has come, in bytes of the source.
    opset
        Of onnx: the operator set, 21 to 26; None takes 23 or 25.
    hardware, word_bytes
        Of hex: the accelerator (None: tlmm-kv260), and bytes of a memory word (None: 16).

    Raises
    ------
    CheckpointError
        The source is missing, damaged or not understood, or the target has no such architecture.
    FormatError
        The target, the type or an option is unknown, or cannot hold the model.
    OutputError
        ``out`` exists or cannot be written; nothing is left behind.
    """
    known = targets()
    if to not in known:
        raise FormatError(f"Export target {to!r} is unknown; known are {', '.join(known)}")
    given = {"opset": opset, "hardware": hardware, "word_bytes": word_bytes}
    options = {name: value for name, value in given.items() if value is not None}
    return export_checkpoint(source, out, _exporter(to, options), type, overwrite, progress)


def targets() -> dict[str, str]:
    """What ``to`` may be, and with which types; of another package's, the package."""
    brought = EXPORTERS.packages()
    own: dict[str, type[Exporter] | Exporter] = {name: EXPORTERS[name] for name in EXPORTERS.own}
    types = {name: ", ".join(exporter.types)
             for name, exporter in (own | {_HEX: WeightImages}).items()}
    return types | {name: f"of the package {brought[name]}" for name in brought}


def _exporter(target: str, options: dict[str, Any]) -> Exporter:
    """The exporter with its own options; those of another target are refused."""
    foreign = set(options) - _OPTIONS.get(target, set())
    if foreign:
        option = min(foreign)
        owner = next(name for name, own in _OPTIONS.items() if option in own)
        shown = option.replace("_", "-")
        raise FormatError(f"--{shown} is not an option of {target}; it is of {owner}")
    if target == _HEX:
        word_bytes = options.get("word_bytes", 16)
        if word_bytes < 1:
            raise FormatError(f"--word-bytes must be at least 1, not {word_bytes}")
        # Brings Numba, which `--help`, where the targets are listed, does not wait for.
        from ..sim.descriptions.accelerator import load_accelerator  # noqa: PLC0415

        accelerator = load_accelerator(options.get("hardware", "tlmm-kv260"))
        return WeightImages(accelerator.engine, word_bytes)
    exporter = EXPORTERS[target]
    if isinstance(exporter, Onnx) and "opset" in options:
        return exporter.with_opset(options["opset"])
    return exporter
