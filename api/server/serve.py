"""Serve a model over HTTP: everything that ``trilobite serve`` does but printing."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

from ...errors import ToolError, TrilobiteError
from ...runtime.batching.engine import Engine
from ...runtime.language_model import LanguageModel
from ..chat import chat_template
from ..models import load

__all__ = ["is_local", "listener", "serve"]

_LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"]


def serve(
    model: LanguageModel | str | Path, place: tuple[str, int] | socket.socket = ("127.0.0.1", 8080),
    name: str | None = None, sequences: int = 4, waiting: int = 64,
    template: str | Path | None = None, api_key: str | None = None,
    started: Callable[[str, bool], None] = lambda url, talks: None,
) -> None:
    """Answer OpenAI's clients until SIGINT or SIGTERM comes; needs the extra ``serve``.

    Parameters
    ----------
    model
        A loaded model, or what ``load`` takes.
    place
        Host and port, or a socket of ``listener``.
    name
        What clients call the model; None: the name of its folder.
    sequences, waiting
        Requests whose tokens are decoded together, and those that may wait.
    template
        As of ``chat``; a model without one has no chats.
    api_key
        What requests must bring; None: nothing.
    started
        Is called with the server's URL, and whether there are chats, once it listens.

    Raises
    ------
    TrilobiteError
        As ``load`` and ``chat_template`` do; nothing can listen at the place.
    ToolError
        starlette or uvicorn is not installed.
    """
    try:
        import uvicorn  # noqa: PLC0415 - an extra

        from .app import Server, make_app  # noqa: PLC0415 - needs the extra
    except ImportError:
        raise ToolError(
            "The server needs starlette and uvicorn: pip install 'trilobite[serve]'"
        ) from None
    listening = listener(*place) if isinstance(place, tuple) else place
    loaded = model if isinstance(model, LanguageModel) else load(model)
    talks = template is not None or loaded.tokenizer.chat_template() is not None
    messages = chat_template(loaded, template) if talks else None
    host, port = listening.getsockname()[:2]
    with Engine(loaded, sequences, waiting) as engine:
        application = make_app(Server(engine, name or loaded.folder.name, messages, api_key),
                               _LOCAL_NAMES if is_local(host) else None)
        server = uvicorn.Server(uvicorn.Config(
            application, log_level="warning", access_log=False, timeout_keep_alive=5,
            limit_concurrency=4 * (sequences + waiting) + 16, timeout_graceful_shutdown=1,
        ))
        started(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1", talks)
        server.run(sockets=[listening])


def listener(host: str, port: int) -> socket.socket:
    """What listens at the place; ``TrilobiteError`` if nothing can. Port 0 is a free one."""
    if not 0 <= port <= 65535:
        raise TrilobiteError(f"The port must be from 0 to 65535, not {port}")
    if not host:
        raise TrilobiteError("The host is empty; 127.0.0.1 is this machine, 0.0.0.0 everybody")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        raise TrilobiteError(f"Nothing can listen at {host}, port {port}: {error}") from None


def is_local(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
