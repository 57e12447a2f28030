"""The programs and packages that simulation, synthesis and ONNX need from the outside.

Every program that this package runs is started here: with the environment of ``child_environment``,
found on absolute folders of PATH alone, in a session of its own that ends with this process.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

from ..errors import ToolError
from .environment import child_environment, program_path, safe_interpreters
from .scratch import scratch_folder

__all__ = [
    "PIPE", "Answer", "ask_program", "optional_program", "package_folder", "package_version",
    "program", "python", "run_program", "started", "worker_pool",
]

PIPE = subprocess.PIPE   # what ``started`` may be told of a program's standard streams

_DEBIAN_PACKAGES = {
    "c++": "g++", "make": "make", "perl": "perl", "iverilog": "iverilog", "vvp": "iverilog",
}
_ENDING = 5   # seconds that what was killed may take to be gone
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


def program(name: str) -> str:
    """Absolute path of a program of the system.

    Raises
    ------
    ToolError
        It is in none of the absolute folders on PATH.
    """
    path = optional_program(name)
    if path is None:
        raise ToolError(f"The program {name!r} is not on PATH, and the simulation needs it; "
                        f"on Debian or Ubuntu: apt-get install {_DEBIAN_PACKAGES[name]}")
    return path


def optional_program(name: str) -> str | None:
    """The path that ``program`` gives, or None if there is no such program."""
    return shutil.which(name, path=program_path())


def package_folder(name: str, user: str = "simulation", extra: str = "rtl") -> Path:
    """Folder of an installed Python package, without importing it.

    ``user`` needs it, and ``extra`` of this package brings it.

    Raises
    ------
    ToolError
        It is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ToolError(f"The Python package {name!r} is not installed, and {user} needs it: "
                        f"pip install 'trilobite[{extra}]'")
    return Path(spec.origin).parent


def package_version(name: str) -> str:
    """Name and version of an installed Python package, as in ``cocotb 2.1.0``."""
    return f"{name} {version(name)}"


def python(*arguments: str) -> list[str]:
    """Command for this Python, which imports nothing from the current folder."""
    return [sys.executable, "-P", *arguments]


@dataclass(frozen=True)
class Answer:
    """What a program gave: its exit code, and what it wrote."""

    code: int
    output: bytes
    errors: bytes


def run_program(command: list[str], folder: Path, what: str,
                variables: Mapping[str, str] | None = None) -> str:
    """Run a program in ``folder``, its environment with ``variables``; return what it printed.

    Raises
    ------
    ToolError
        It failed; the message ends with the last lines it printed.
    """
    with started(command, folder, variables) as process:
        text = process.communicate()[0].decode(errors="replace")
    if process.returncode != 0:
        tail = "\n".join(text.splitlines()[-20:])
        raise ToolError(f"{what} failed ({Path(command[0]).name} exited with "
                        f"{process.returncode}):\n{tail}")
    return text


def ask_program(command: list[str], folder: Path, data: bytes,
                seconds: float | None = None) -> Answer:
    """Run a program in ``folder`` that reads ``data``.

    Raises
    ------
    TimeoutError
        It took more than ``seconds``, and was killed.
    """
    with started(command, folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            output, errors = process.communicate(data, seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{Path(command[0]).name} took over {seconds} s") from None
    return Answer(process.returncode, output, errors)


@contextmanager
def started(command: list[str], folder: Path, variables: Mapping[str, str] | None = None,
            stdin: int = subprocess.DEVNULL, stderr: int = subprocess.STDOUT,
            **options: Any) -> Iterator[subprocess.Popen]:
    """A program that runs while the block does, all that it prints in one pipe.

    ``command`` begins with an absolute path. When the block ends, or this process does (killed or
    not), the program and all that it started are killed. An interrupt from the keyboard reaches
    this process alone. Its temporary files go with it. ``options`` are ``subprocess.Popen``'s.
    """
    with scratch_folder() as scratch:
        told = {"TMPDIR": str(scratch), **(variables or {})}
        with _supervised(command, folder, told, stdin, stderr, options) as process:
            yield process


@contextmanager
def _supervised(command: list[str], folder: Path, variables: Mapping[str, str], stdin: int,
                stderr: int, options: dict[str, Any]) -> Iterator[subprocess.Popen]:
    pipe, kept = os.pipe()
    supervised = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(pipe), *command]
    try:
        process = subprocess.Popen(
            supervised, cwd=folder, env=child_environment(variables), stdin=stdin,
            stdout=subprocess.PIPE, stderr=stderr, pass_fds=[pipe], start_new_session=True,
            **options)
    except BaseException:
        os.close(kept)
        raise
    finally:
        os.close(pipe)
    with process:
        try:
            yield process
        finally:
            os.close(kept)   # which ends the program, if it runs still
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING)   # Ctrl-C would not wait


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of Python processes, each with all that it started killed when this one ends.

    Leaving the block by an exception kills them too, whatever they are doing.
    """
    context = multiprocessing.get_context("spawn")   # Numba's threads do not survive a fork
    ends, kept = context.Pipe(duplex=False)
    with (safe_interpreters(), ends, kept,
          ProcessPoolExecutor(workers, context, initializer=_end_with, initargs=(ends,)) as pool):
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            kept.close()
            raise


def _end_with(ends: Connection) -> None:
    """End this process when the other end of ``ends`` is closed."""

    def watch() -> None:
        ends.poll(None)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
