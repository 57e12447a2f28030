"""``trilobite inspect``."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from ..cli.console import Output, bytes_text, make_table
from ..model import ModelConfig
from ..quant.checkpoint import Checkpoint, open_checkpoint

__all__ = ["run"]


@dataclass(frozen=True)
class _Row:
    """Tensors that differ in their layer only."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    count: int
    nbytes: int


def run(output: Output, path: str, every: bool) -> None:
    """Print what the checkpoint at ``path`` is."""
    with open_checkpoint(path) as checkpoint:
        rows = _rows(checkpoint, merge_layers=not every)
        output.print(_model_table(checkpoint))
        output.print(_tensor_table(rows))
        output.json(_json(checkpoint))


def _parameters(config: ModelConfig) -> int:
    return sum(math.prod(shape) for shape in config.tensor_shapes().values())


def _rows(checkpoint: Checkpoint, merge_layers: bool) -> list[_Row]:
    merged: dict[tuple[str, tuple[int, ...], str], _Row] = {}
    for name, info in checkpoint.tensors.items():
        shown = re.sub(r"\.layers\.\d+\.", ".layers.*.", name) if merge_layers else name
        key = (shown, info.shape, info.dtype)
        before = merged.get(key, _Row(*key, count=0, nbytes=0))
        merged[key] = _Row(*key, before.count + 1, before.nbytes + info.nbytes)
    return list(merged.values())


def _model_table(checkpoint: Checkpoint) -> Table:
    config = checkpoint.config
    table = make_table("", "", title=str(checkpoint.folder))
    table.show_header = False
    table.add_row("family", config.family + (" (trained ternary)" if config.bitlinear else ""))
    table.add_row("parameters", f"{_parameters(config):,}")
    table.add_row("layers", str(config.num_layers))
    table.add_row("hidden, feed-forward", f"{config.hidden_size}, {config.intermediate_size}")
    table.add_row(
        "heads", f"{config.num_heads} of {config.head_dim}, {config.num_kv_heads} key/value heads"
    )
    table.add_row("vocabulary", f"{config.vocab_size:,}" + (
        ", head tied to the embedding" if config.tie_word_embeddings else ""
    ))
    table.add_row("positions", f"{config.max_position_embeddings:,}")
    quantization = checkpoint.quantization
    table.add_row("quantized", "no" if quantization is None else str(quantization["format"]))
    return table


def _tensor_table(rows: list[_Row]) -> Table:
    table = make_table("tensor", ">shape", "stored as", ">tensors", ">size")
    for row in rows:
        name = row.name.removeprefix("model.").removesuffix(".weight")
        shape = " x ".join(str(extent) for extent in row.shape)
        table.add_row(name, shape, row.dtype, str(row.count), bytes_text(row.nbytes))
    table.add_section()
    count = sum(row.count for row in rows)
    table.add_row("total", "", "", str(count), bytes_text(sum(row.nbytes for row in rows)))
    return table


def _json(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "folder": str(checkpoint.folder),
        "config": asdict(checkpoint.config),
        "parameters": _parameters(checkpoint.config),
        "quantization": checkpoint.quantization,
        "bytes": sum(info.nbytes for info in checkpoint.tensors.values()),
        "tensors": [
            {"name": name, "shape": list(info.shape), "dtype": info.dtype, "bytes": info.nbytes}
            for name, info in checkpoint.tensors.items()
        ],
    }
