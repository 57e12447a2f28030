"""To know when Numba compiles: the first use of a kernel takes seconds, all others none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event

__all__ = ["when_compiling"]

_COMPILE = "numba:compile"   # not sent for what comes from the cache


class _First(event.Listener):
    """Calls ``notice`` when the first function is compiled."""

    def __init__(self, notice: Callable[[], None]) -> None:
        self._notice: Callable[[], None] | None = notice

    def on_start(self, event: event.Event) -> None:
        """A compilation begins."""
        del event
        if self._notice:
            self._notice()
        self._notice = None

    def on_end(self, event: event.Event) -> None:
        """A compilation is over."""


@contextmanager
def when_compiling(notice: Callable[[], None]) -> Iterator[None]:
    """Call ``notice`` once if anything is compiled while the block runs, before it is."""
    listener = _First(notice)
    event.register(_COMPILE, listener)
    try:
        yield
    finally:
        event.unregister(_COMPILE, listener)
