"""``trilobite inspect``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .console import Output, TextTable, bytes_text, make_table
from .options import Json, Model

if TYPE_CHECKING:
    from ..api.inspect import ModelDescription

__all__ = ["inspect"]


@app.command(epilog="Example: trilobite inspect demo-bitnet")
def inspect(
    model: Model,
    every: Annotated[
        bool, typer.Option("--all", help="A line for each tensor, not one for all layers.")
    ] = False,
    json: Json = None,
) -> None:
    """Show what a checkpoint is: its shape, its tensors, their formats and sizes."""
    from ..api.inspect import inspect as describe

    output = Output(json)
    described = describe(model)
    output.show(_model_table(described))
    output.show(_tensor_table(_rows(described, merge_layers=not every)))
    output.json(described.to_json())


@dataclass(frozen=True)
class _Row:
    """Tensors that differ in their layer, or their expert, only."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    count: int
    nbytes: int


def _rows(described: ModelDescription, merge_layers: bool) -> list[_Row]:
    merged: dict[tuple[str, tuple[int, ...], str], _Row] = {}
    for tensor in described.tensors:
        name = tensor.name
        shown = re.sub(r"\.(layers|experts)\.\d+\.", r".\1.*.", name) if merge_layers else name
        key = (shown, tensor.shape, tensor.dtype)
        before = merged.get(key, _Row(*key, count=0, nbytes=0))
        merged[key] = _Row(*key, before.count + 1, before.nbytes + tensor.bytes)
    return list(merged.values())


def _model_table(described: ModelDescription) -> TextTable:
    config = described.config
    table = make_table("", "", title=str(described.folder))
    table.show_header = False
    table.add_row("family", config.family + (" (trained ternary)" if config.bitlinear else ""))
    table.add_row("parameters", f"{described.parameters:,}")
    table.add_row("layers", str(config.num_layers))
    table.add_row("hidden, feed-forward", f"{config.hidden_size}, {config.intermediate_size}")
    if experts := config.experts:
        table.add_row("experts", f"{experts.count} of {experts.intermediate_size}, "
                                 f"{experts.chosen} for each token")
    table.add_row(
        "heads", f"{config.num_heads} of {config.head_dim}, {config.num_kv_heads} key/value heads"
    )
    table.add_row("vocabulary", f"{config.vocab_size:,}" + (
        ", head tied to the embedding" if config.tie_word_embeddings else ""
    ))
    table.add_row("positions", f"{config.max_position_embeddings:,}")
    quantization = described.quantization
    table.add_row("quantized", "no" if quantization is None else str(quantization["format"]))
    return table


def _tensor_table(rows: list[_Row]) -> TextTable:
    table = make_table("tensor", ">shape", "stored as", ">tensors", ">size")
    for row in rows:
        name = row.name.removeprefix("model.").removesuffix(".weight")
        shape = " x ".join(str(extent) for extent in row.shape)
        table.add_row(name, shape, row.dtype, str(row.count), bytes_text(row.nbytes))
    table.add_section()
    count = sum(row.count for row in rows)
    table.add_row("total", "", "", str(count), bytes_text(sum(row.nbytes for row in rows)))
    return table
