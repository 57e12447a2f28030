"""From the process's start to its exit code."""

from __future__ import annotations

import io
import os
import sys

from .app import app
from .failures import INTERRUPTED, flush, report
from .interrupt import ends_in_time
from .warned import shows_cache_warnings

__all__ = ["main"]


def main() -> None:
    """Run the command line, and exit: whatever happens, with a sentence and a code."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")   # what the encoding lacks
        code = _run()
    except KeyboardInterrupt as error:   # just before the command, or just after it
        code = report(error)
    if code == INTERRUPTED:   # all is cleaned up; Python's own end waits for idle threads
        os._exit(code)
    sys.exit(code)


def _run() -> int | str | None:
    """Run the command, and return the exit code."""
    code: int | str | None = 0
    with ends_in_time(INTERRUPTED), shows_cache_warnings():
        try:
            app()
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            code = report(error)
        return flush() or code
