"""``trilobite serve``."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ToolError, TrilobiteError
from .app import app
from .console import Output
from .options import KV, KVScales, Mmap, Model, Template

__all__ = ["serve"]

_LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"]


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
    try:
        import uvicorn

        from ..api.server.app import Server, make_app
    except ImportError:
        raise ToolError(
            "The server needs starlette and uvicorn: pip install 'trilobite[serve]'"
        ) from None
    from ..api.chat import chat_template
    from ..api.models import load
    from ..runtime.batching.engine import Engine

    output = Output()
    listener = _listener(host, port)   # before a model is loaded, which takes long
    with output.status("Loading the model ..."):
        loaded = load(model, kv.value, kv_scales=kv_scales, mmap=mmap)
        talks = template is not None or loaded.tokenizer.chat_template() is not None
        messages = chat_template(loaded, template) if talks else None
        loaded.warm_up(output.notes)
    called = name or Path(model).name
    key = os.environ.get("TRILOBITE_API_KEY") or None
    with Engine(loaded, sequences, waiting) as engine:
        application = make_app(Server(engine, called, messages, key),
                               _LOCAL_NAMES if _is_local(host) else None)
        server = uvicorn.Server(uvicorn.Config(
            application, log_level="warning", access_log=False, timeout_keep_alive=5,
            limit_concurrency=4 * (sequences + waiting) + 16, timeout_graceful_shutdown=1,
        ))
        _announce(output, listener, called, talks, key is not None)
        server.run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    """What listens at the place; ``TrilobiteError`` if nothing can."""
    if not 0 <= port <= 65535:
        raise TrilobiteError(f"The port must be from 0 to 65535, not {port}")
    if not host:
        raise TrilobiteError("The host is empty; 127.0.0.1 is this machine, 0.0.0.0 everybody")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        raise TrilobiteError(f"Nothing can listen at {host}, port {port}: {error}") from None


def _announce(
    output: Output, listener: socket.socket, name: str, talks: bool, guarded: bool
) -> None:
    """Print where the server is."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    output.print("[bold]{}[/] is served at [bold]http://{}:{}/v1[/]", name, shown, port)
    if not talks:
        output.print("It has no chat template: there are completions, and no chats.")
    if not _is_local(host) and not guarded:
        output.warn("Everybody who reaches this machine can use it; TRILOBITE_API_KEY in the "
                    "environment asks them for a key.")


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
