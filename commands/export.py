"""``trilobite export``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from ..cli.console import Output, bytes_text, make_table
from ..errors import FormatError
from ..hw.weights.images import WeightImages
from ..quant.export import EXPORTERS, Exporter, ExportRecord, export
from ..quant.export.onnx import Onnx
from ..sim.descriptions.accelerator import load_accelerator

__all__ = ["run"]

# Options of the command that one target only has.
_OPTIONS = {"onnx": {"opset"}, "hex": {"hardware", "word_bytes"}}


def run(
    output: Output, source: str, out: Path, target: str, type: str | None,
    options: dict[str, Any], overwrite: bool,
) -> None:
    """Export with a progress bar, print what became of the tensors.

    ``options`` are those of one target only, None where not given.
    """
    exporter = _exporter(target, {name: value for name, value in options.items()
                                  if value is not None})
    with output.bar(f"Exporting {source}") as bar:
        record = export(source, out, exporter, type, overwrite, bar)
    _print(output, record)
    output.print(f"Written to {out}", markup=False)
    output.json(json.loads(record.to_json()))


def _exporter(target: str, options: dict[str, Any]) -> Exporter:
    """The exporter with its own options; those of another target are refused."""
    foreign = set(options) - _OPTIONS.get(target, set())
    if foreign:
        option = min(foreign)
        owner = next(name for name, own in _OPTIONS.items() if option in own)
        shown = option.replace("_", "-")
        raise FormatError(f"--{shown} is not an option of {target}; it is of {owner}")
    if target == "hex":
        word_bytes = options.get("word_bytes", 16)
        if word_bytes < 1:
            raise FormatError(f"--word-bytes must be at least 1, not {word_bytes}")
        accelerator = load_accelerator(options.get("hardware", "tlmm-kv260"))
        return WeightImages(accelerator.engine, word_bytes)
    exporter = EXPORTERS[target]
    if isinstance(exporter, Onnx) and "opset" in options:
        return exporter.with_opset(options["opset"])
    return exporter


def _print(output: Output, record: ExportRecord) -> None:
    """A line per type, then each tensor that has another type than was asked for."""
    table = make_table("stored as", ">tensors", ">size", "numbers")
    counts: Counter[tuple[str, bool]] = Counter()
    sizes: Counter[tuple[str, bool]] = Counter()
    for tensor in record.tensors:
        counts[tensor.type, tensor.exact] += 1
        sizes[tensor.type, tensor.exact] += tensor.bytes
    for key, count in counts.items():
        kept = "as they were" if key[1] else "rounded"
        table.add_row(key[0], str(count), bytes_text(sizes[key]), kept)
    total = sum(file.bytes for file in record.files)
    table.add_row("files", str(len(record.files)), bytes_text(total), "")
    output.print(table)
    for tensor in record.tensors:
        if tensor.note is not None:
            output.print(f"{tensor.name}: {tensor.note}", markup=False, soft_wrap=True)
    for warning in record.warnings:
        output.warn(warning)
