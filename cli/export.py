"""``trilobite export``."""

from __future__ import annotations

from collections import Counter
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .choices import command_class, targets_table
from .console import Output, bytes_text, make_table
from .options import Json, Model

if TYPE_CHECKING:
    from ..api.export import ExportRecord

__all__ = ["export"]


@app.command(
    epilog="Example: trilobite export demo-bitnet --to hf -o bitnet-packed",
    cls=command_class(targets_table),
)
def export(
    model: Model,
    to: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="Which tool's files: see below.")
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="The file or folder to write.")],
    type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="How weights are stored, one of the target's types; default: what holds the "
            "model's own codes.",
        ),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="onnx: operator set, 21 to 26; by default 23 or 25.")
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(help="hex: an accelerator, or a .toml file; default tlmm-kv260."),
    ] = None,
    word_bytes: Annotated[
        int | None, typer.Option(help="hex: bytes of a memory word; default 16.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.")
    ] = False,
    json: Json = None,
) -> None:
    """Write a model as files that other tools read."""
    from ..api.export import export as write

    output = Output(json)
    with output.bar(f"Exporting {model}") as bar:
        record = write(model, out, to, type, overwrite, bar, opset=opset, hardware=hardware,
                       word_bytes=word_bytes)
    _print(output, record)
    output.print("Written to {}", out)
    output.json(loads(record.to_json()))


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
    output.show(table)
    for tensor in record.tensors:
        if tensor.note is not None:
            output.line(f"{tensor.name}: {tensor.note}")
    for warning in record.warnings:
        output.warn(warning)
