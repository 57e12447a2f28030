"""Ctrl-C ends a command within a second, also while a compiler's machine code runs.

Python raises ``KeyboardInterrupt`` only between two of its own instructions, and LLVM or a kernel
of another library can keep it from them for long. Where it is raised in a function that such a
library calls, as LLVM does while it compiles, or in a finalizer, Python prints it and goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["ends_in_time"]

_PATIENCE = 0.8   # seconds that Python has to notice
_AGAIN = 0.01     # seconds until what was lost is raised again
_LAST_WORDS = b"\nInterrupted.\n"


@contextlib.contextmanager
def ends_in_time(exit_code: int) -> Iterator[None]:
    """While the block runs, end the process with ``exit_code`` if it does not notice a Ctrl-C.

    Once it has noticed, ``KeyboardInterrupt`` takes its course, for as long as cleaning up takes.
    Nothing is done outside of the main thread, or where Ctrl-C is ignored.
    """
    if (threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
        yield
        return
    noticed = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        noticed.set()
        signal.default_int_handler(number, frame)

    def unraisable(lost: Any) -> None:
        if lost.exc_type is not KeyboardInterrupt:
            unraisable_before(lost)
            return
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    hears, tells = os.pipe()
    os.set_blocking(tells, False)
    watcher = threading.Thread(target=_watch, args=(hears, noticed, exit_code), daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, handle)
    unraisable_before, sys.unraisablehook = sys.unraisablehook, unraisable
    try:
        yield
    finally:
        sys.unraisablehook = unraisable_before
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(before)
        os.close(tells)   # the watcher reads its end, and ends
        watcher.join()


def _watch(pipe: int, noticed: threading.Event, exit_code: int) -> None:
    """Wait for a signal, as its handler in C tells it, and then for the handler in Python."""
    with open(pipe, "rb", buffering=0) as signals:
        while number := signals.read(1):
            if number[0] == signal.SIGINT and not noticed.wait(_PATIENCE):
                os.write(2, _LAST_WORDS)
                os._exit(exit_code)
