"""Directives that show the commands of ``trilobite`` as the application declares them.

``{command} verify`` shows usage, arguments and options of a command; ``{commands}`` lists all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click
from typer.main import get_command

from trilobite.cli import app as application

__all__ = ["commands", "setup"]

PROGRAM = "trilobite"


def commands() -> dict[str, Any]:
    """Every command that does something, by the words that call it: ``devices``, for example."""
    return dict(_leaves(get_command(application), ()))


def _leaves(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*words, name))
        elif not command.hidden:
            yield " ".join((*words, name)), command


def command_text(name: str) -> str:
    """Markdown of one command, without its heading, which the page has."""
    command = commands()[name]
    context = typer.Context(command, info_name=f"{PROGRAM} {name}")
    text = get_docs_for_click(obj=command, ctx=context, name=f"{PROGRAM} {name}")
    return text.split("\n", 1)[1]


def overview_text() -> str:
    """A table in Markdown: a line per command, with a link to its section."""
    rows = [f"| [`{name}`](#{name.replace(' ', '-')}) | {command.help.splitlines()[0]} |"
            for name, command in commands().items()]
    return "\n".join(["| command | does |", "|---|---|", *rows])


class CommandDirective(SphinxDirective):
    """``{command} NAME``."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Nodes of the command's text."""
        name = self.arguments[0]
        if name not in commands():
            raise self.error(f"{name!r} is no command of {PROGRAM}")
        return self.parse_text_to_nodes(command_text(name))


class CommandsDirective(SphinxDirective):
    """``{commands}``."""

    def run(self) -> list[nodes.Node]:
        """Nodes of the overview."""
        return self.parse_text_to_nodes(overview_text())


def setup(sphinx: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    sphinx.add_directive("command", CommandDirective)
    sphinx.add_directive("commands", CommandsDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
