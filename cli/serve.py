"""``trilobite serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import Output
from .options import KV, KVScales, Mmap, Model, Template

__all__ = ["serve"]


@app.command(epilog="Example: trilobite serve my-model --port 8080")
def serve(
    model: Model,
    host: Annotated[
        str, typer.Option(help="Address to listen at; the default is reached from here alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8080,
    name: Annotated[
        str | None, typer.Option(help="What clients call the model; default: its folder's name.")
    ] = None,
    sequences: Annotated[
        int, typer.Option(help="Requests whose tokens are decoded together.")
    ] = 4,
    waiting: Annotated[int, typer.Option(help="Requests that may wait; more are refused.")] = 64,
    template: Template = None,
    kv: Annotated[KV, typer.Option(help="Format of the KV cache.")] = KV.AUTO,
    kv_scales: KVScales = None,
    mmap: Mmap = True,
) -> None:
    """Serve a model over HTTP, as OpenAI's clients expect: completions and chats, streamed or not.

    With TRILOBITE_API_KEY in the environment, requests must bring that key. Ctrl-C ends the server.
    """
    from ..api.models import load
    from ..api.server.serve import is_local, listener
    from ..api.server.serve import serve as answer

    output = Output()
    listening = listener(host, port)   # before a model is loaded, which takes long
    with output.status("Loading the model ..."):
        loaded = load(model, kv.value, kv_scales=kv_scales, mmap=mmap)
        loaded.warm_up(output.notes)
    called = name or Path(model).name
    key = os.environ.get("TRILOBITE_API_KEY") or None

    def started(url: str, talks: bool) -> None:
        output.print("[bold]{}[/] is served at [bold]{}[/]", called, url)
        if not talks:
            output.print("It has no chat template: there are completions, and no chats.")
        if not is_local(host) and key is None:
            output.warn("Everybody who reaches this machine can use it; TRILOBITE_API_KEY in the "
                        "environment asks them for a key.")

    answer(loaded, listening, called, sequences, waiting, template, key, started)
