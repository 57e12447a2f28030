"""Warnings about the cache, as sentences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.text import Text

from ..tools.cache import CacheWarning
from .console import make_console
from .text import marked, visible

__all__ = ["shows_cache_warnings"]


@contextmanager
def shows_cache_warnings() -> Iterator[None]:
    """Print each ``CacheWarning`` of the block on standard error, as a sentence alone."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, CacheWarning):
                make_console(stderr=True).print(
                    marked("[bold yellow]Warning:[/] ") + Text(visible(str(message))),
                    soft_wrap=True)
            else:
                others(message, category, *where)

        warnings.showwarning = show   # type: ignore[assignment]   # ``where`` stands for the rest
        yield
