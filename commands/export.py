"""``trilobite export``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ..console import Output, bytes_text, make_table
from ..errors import FormatError
from ..quant.export import EXPORTERS, ExportRecord, export
from ..quant.export.onnx import Onnx
from .quantize import ProgressBar

__all__ = ["run"]


def run(
    output: Output, source: str, out: Path, target: str, type: str | None, opset: int | None,
    overwrite: bool,
) -> None:
    """Export with a progress bar, print what became of the tensors."""
    exporter = EXPORTERS[target]
    if opset is not None:
        if not isinstance(exporter, Onnx):
            raise FormatError(f"--opset is not an option of {target}; it is of onnx")
        exporter = exporter.with_opset(opset)
    with output.progress(f"Exporting {source}", 1.0) as advance:
        bar = ProgressBar(output, advance, lines=False)
        record = export(source, out, exporter, type, overwrite, bar)
    _print(output, record)
    output.print(f"Written to {out}", markup=False)
    output.json(json.loads(record.to_json()))


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
