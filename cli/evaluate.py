"""``trilobite evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import Output
from .options import KV, Json, KVScales, Mmap, Model

__all__ = ["evaluate"]


@app.command(epilog="Example: trilobite evaluate demo-bitnet")
def evaluate(
    model: Model,
    text: Annotated[
        Path | None,
        typer.Option(help="UTF-8 text file; default: the held-out modules in training.json."),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Use only the first so many tokens of the text.")
    ] = None,
    kv: Annotated[KV, typer.Option(help="Format of the KV cache.")] = KV.AUTO,
    kv_scales: KVScales = None,
    mmap: Mmap = True,
    json: Json = None,
) -> None:
    """Measure perplexity in windows of 512 tokens."""
    from ..api.models import evaluate as measure
    from ..api.models import load

    output = Output(json)
    with output.status("Loading the model ..."):
        loaded = load(model, kv.value, kv_scales=kv_scales, mmap=mmap)
    with output.bar(f"Perplexity of {model}") as bar:
        result = measure(loaded, text, tokens, bar)
    output.print(
        "[bold]{:.4f}[/] perplexity over {} tokens ({} keys and values)",
        result.perplexity, result.tokens, result.kv,
    )
    output.json({"perplexity": result.perplexity, "tokens": result.tokens, "kv": result.kv})
