"""What the commands print: text, tables, progress bars and JSON. All printing goes through here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..errors import OutputError
from ..tools.files import write_output
from ..tools.json_text import json_text
from ..tools.progress import Silent
from .text import marked, visible

__all__ = ["Bar", "Output", "TextTable", "bytes_text", "make_console", "make_table"]


class _Console(Console):
    """A console that leaves a broken pipe to ``failures``."""

    def on_broken_pipe(self) -> None:
        raise   # the BrokenPipeError that is being handled  # noqa: PLE0704


def make_console(stderr: bool = False) -> Console:
    """A console that takes nothing in a text for a link, a number or an emoji."""
    return _Console(stderr=stderr, highlight=False, emoji=False)


class Output:
    """Where a command prints: people's text, and JSON where it was asked for.

    With ``--json -`` standard output carries the JSON alone, and people's text goes to standard
    error.
    """

    def __init__(self, json_target: str | None = None) -> None:
        self._json_target = json_target
        if json_target not in (None, "-") and not Path(json_target).parent.is_dir():
            raise OutputError(f"--json: {Path(json_target).parent} is not a folder")
        self.console = make_console(stderr=json_target == "-")

    def json(self, value: dict[str, Any]) -> None:
        """Write ``value`` where ``--json`` said, see ``json_text``; nothing without it."""
        if self._json_target is None:
            return
        text = json_text(value) + "\n"
        if self._json_target == "-":
            sys.stdout.write(text)
            return
        write_output(Path(self._json_target), text)

    def print(self, template: str = "", *values: Any, end: str = "\n") -> None:
        """Print a sentence for people.

        ``template`` is a literal of ours, in rich's markup, with fields as of ``str.format`` for
        ``values``. Whatever comes from elsewhere (names, files, texts, messages) is a value: see
        ``marked``.
        """
        self.console.print(marked(template, *values), end=end)

    def show(self, renderable: RenderableType) -> None:
        """Print a table of ``make_table``, or another object that rich renders but no ``str``."""
        if isinstance(renderable, str):
            raise TypeError("A str would be read as markup; print takes it as a value")
        self.console.print(renderable)

    def line(self, text: str, style: str | None = None) -> None:
        """Print one line that is not wrapped, all of it foreign text."""
        self.console.print(Text(visible(text)), style=style, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether people's text goes to a terminal."""
        return self.console.is_terminal

    @property
    def exact(self) -> bool:
        """Whether ``stream`` writes text as it is: into a file or a pipe."""
        return self._json_target != "-" and not self.console.is_terminal

    def stream(self, text: str, style: str | None = None) -> None:
        """Write a piece of text: as it is if ``exact``, else with control characters visible.

        ``style`` is for people; with one, tabs become blanks.
        """
        if style and not self.exact:
            shown = Text(visible(text, keep="\n\t"))
            self.console.print(shown, style=style, end="", soft_wrap=True)
        else:
            self.console.file.write(text if self.exact else visible(text, keep="\n\t"))
        self.console.file.flush()

    def aside(self, template: str, *values: Any) -> None:
        """Print for people what is no part of the ``exact`` text: on standard error if that is."""
        console = make_console(stderr=True) if self.exact else self.console
        console.print(marked(template, *values))

    def ask(self) -> str:
        """A line that a person types; ``EOFError`` at the end of standard input."""
        return self.console.input("[bold]> [/]")

    @property
    def notes(self) -> Notes:
        """Progress of which only the notes are seen, on standard error."""
        return Notes()

    def warn(self, message: str) -> None:
        """Print a warning that is not overlooked."""
        self.print("[bold yellow]Warning:[/] {}", message)

    def status(self, sentence: str) -> AbstractContextManager[Any]:
        """Show on a terminal what the block does, as long as it runs."""
        return self.console.status(sentence)

    @contextmanager
    def bar(
        self, label: str, line: Callable[[Any], str] | None = None, notes: Silent | None = None
    ) -> Iterator[Bar]:
        """Show the progress of the work in the block.

        ``line`` makes a line of each result; notes are lines, too, or go to ``notes``.
        """
        with self._bars() as bars:
            yield Bar(self, bars, bars.add_task(visible(label), total=None), line, notes)

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
        make_console(stderr=True).print(Text(visible(sentence)), style="dim")


class Bar(Silent):
    """A progress bar, with a line above it for each note and, if ``line``, each result."""

    def __init__(
        self, output: Output, bars: Progress, task: TaskID, line: Callable[[Any], str] | None,
        notes: Silent | None,
    ) -> None:
        self._output, self._bars, self._task = output, bars, task
        self._line, self._notes = line, notes

    def start(self, total: float, what: str = "") -> None:
        """Count up to ``total`` from now on."""
        self._bars.update(self._task, total=total or 1, completed=0,
                          description=visible(what) or None)

    def advance(self, amount: float = 1) -> None:
        """Move the bar."""
        self._bars.advance(self._task, amount)

    def doing(self, what: str) -> None:
        """Change the bar's label."""
        self._bars.update(self._task, description=visible(what))

    def finished(self, item: object) -> None:
        """Print the line of ``item``."""
        if self._line:
            self._output.line(self._line(item))

    def note(self, sentence: str) -> None:
        """Print ``sentence``."""
        (self._notes.note if self._notes else self._output.line)(sentence)


class TextTable(Table):
    """A table whose cells are text: what looks like markup in one is shown as it is."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; a cell with styles of its own is a ``Text``, of ``marked``."""
        super().add_row(
            *(Text(visible(cell)) if isinstance(cell, str) else cell for cell in cells), **options
        )


def make_table(*columns: str, title: str | None = None) -> TextTable:
    """An empty table in the house's style; a column named ``>text`` is aligned right."""
    shown = None if title is None else Text(visible(title), style="table.title")
    table = TextTable(box=box.SIMPLE_HEAD, title=shown, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(
            Text(visible(column.removeprefix(">"))), justify="right" if right else "left",
            no_wrap=right,
        )
    return table


def bytes_text(count: float) -> str:
    """A byte count for people, in decimal units (1 MB = 10^6 bytes)."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
