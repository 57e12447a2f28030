"""To know when Numba compiles: the first use of a kernel takes seconds, all others none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..tools.compiled import numba
from ..tools.progress import Progress

__all__ = ["when_compiling"]

_COMPILE = "numba:compile"   # not sent for what comes from the cache


class _First(numba.core.event.Listener):
    """Tells ``progress`` when the first function is compiled."""

    def __init__(self, progress: Progress) -> None:
        self._progress: Progress | None = progress

    def on_start(self, event: numba.core.event.Event) -> None:
        """A compilation begins."""
        del event
        if self._progress:
            self._progress.note("Compiling kernels, once ...")
        self._progress = None

    def on_end(self, event: numba.core.event.Event) -> None:
        """A compilation is over."""


@contextmanager
def when_compiling(progress: Progress) -> Iterator[None]:
    """Tell ``progress`` once if anything is compiled while the block runs, before it is."""
    listener = _First(progress)
    numba.core.event.register(_COMPILE, listener)
    try:
        yield
    finally:
        numba.core.event.unregister(_COMPILE, listener)
