"""Run a command in a process of its own, strike it at a moment, and see what is left.

The process is forked from this one, which has imported the package already, so that moments are
spread over the work and not over Python's start. What it and its programs are told (TMPDIR, the
cache) lies in the place of the attempt, by which they are found when it has ended.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crash.jobs import Job

__all__ = ["STRIKES", "Ended", "Place", "attempt", "survivors"]

_PATIENCE = 600   # seconds; a command that takes longer hangs
_ENDING = 20      # seconds that what was killed may take to be gone


@dataclass(frozen=True)
class Place:
    """A folder of one attempt: ``work`` for the output, ``tmp``, ``cache``."""

    root: Path
    job: Job

    @property
    def work(self) -> Path:
        """Where the command runs and writes."""
        return self.root / "work"

    @property
    def out(self) -> Path:
        """The output of the job, in ``work``."""
        return self.work / (self.job.output or "none")

    def make(self, cache: Path) -> None:
        """Make it, with kernels and the objects of Verilator that every build needs."""
        for name in ("work", "tmp", "cache/sim"):
            (self.root / name).mkdir(parents=True)
        (self.root / "cache" / "compiled").symlink_to(cache / "compiled")
        for shared in (cache / "sim").glob("verilator-runtime-*"):
            subprocess.run(["cp", "-r", shared, self.root / "cache" / "sim"], check=True)

    def left(self) -> list[str]:
        """Temporary files, and what is unfinished in the cache."""
        found = list((self.root / "tmp").iterdir())
        found += (path for path in (self.root / "cache").glob("*/*scratch*")
                  if path.parent.name != "compiled")
        return sorted(str(path.relative_to(self.root)) for path in found)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: a signal), and what it said.

    ``seconds`` from the strike, or from the start if it had ended before.
    """

    code: int
    seconds: float
    said: str
    struck: bool


def _fill(process: int) -> None:
    """From now on no file may be written to, as on a full disk."""
    resource.prlimit(process, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


STRIKES: dict[str, Callable[[int], None]] = {
    "kill": lambda process: os.kill(process, signal.SIGKILL),
    "interrupt": lambda process: os.kill(process, signal.SIGINT),
    "disk": _fill,
}


def attempt(place: Place, inputs: Path, moment: float | None = None,
            strike: Callable[[int], None] | None = None) -> Ended:
    """Run the job in ``place``, struck ``moment`` seconds after its start if it runs still."""
    read, write = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _become(place, inputs, write)
    os.close(write)
    said: list[bytes] = []
    handle = os.pidfd_open(process)
    began = time.monotonic()
    struck = False
    try:
        ended = _wait(handle, read, said, _PATIENCE if moment is None else moment)
        if not ended and strike is not None:
            struck, began = True, time.monotonic()
            with suppress(ProcessLookupError):
                strike(process)
            ended = _wait(handle, read, said, _PATIENCE)
        if not ended:
            os.kill(process, signal.SIGKILL)
            said.append(b"\nIt did not end.")
        seconds = time.monotonic() - began
        _, status = os.waitpid(process, 0)
    finally:
        os.close(handle)
        os.close(read)
    text = b"".join(said).decode(errors="replace")
    return Ended(os.waitstatus_to_exitcode(status), seconds, text, struck)


def survivors(place: Place) -> list[str]:
    """Programs that the attempt started and that run still, after a while."""
    end = time.monotonic() + _ENDING
    while (found := _running(place)) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def _running(place: Place) -> list[str]:
    mark, found = f"{place.root}/".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def _wait(handle: int, pipe: int, said: list[bytes], seconds: float) -> bool:
    """Keep what is printed until the process has ended; whether it has, after ``seconds``."""
    end = time.monotonic() + seconds
    waiting = [handle, pipe]
    while True:
        ready = select.select(waiting, [], [], max(0.0, end - time.monotonic()))[0]
        if pipe in ready:
            said.append(os.read(pipe, 1 << 16))
            if not said[-1]:
                waiting.remove(pipe)
        elif handle in ready:
            return True
        elif not ready:
            return False


def _become(place: Place, inputs: Path, pipe: int) -> None:
    """Be the command, and never return."""
    code, begun = 99, False
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(pipe, 1)
        os.dup2(pipe, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", 1) for number in (1, 2))
        os.chdir(place.work)
        os.environ.update(TMPDIR=str(place.root / "tmp"), TRILOBITE_CACHE=str(place.root / "cache"),
                          XDG_DATA_HOME=str(place.work), NO_COLOR="1")
        tempfile.tempdir = None
        place.job.shorten()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["trilobite", *place.job.command(inputs, place.out)]
        from trilobite.__main__ import main

        begun = True
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not begun:
            os._exit(130)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
