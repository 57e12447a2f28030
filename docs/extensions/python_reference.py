"""Directives that document the package from its own names and docstrings.

``{functions}`` shows what ``trilobite.__all__`` lists, ``{results}`` the classes that these
functions give, and the classes that those give in turn.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import trilobite

__all__ = ["public", "results", "setup"]


def public() -> dict[str, Any]:
    """What the package offers by name: functions and classes."""
    return {name: getattr(trilobite, name) for name in trilobite.__all__
            if not name.startswith("__")}


def results() -> list[type]:
    """Classes of the package that public functions return, and what these hold and return."""
    found: dict[type, None] = {}
    waiting = list(public().values())
    while waiting:
        for given in _given(waiting.pop(0)):
            if given not in found:
                found[given] = None
                waiting.append(given)
    return [result for result in found if result not in public().values()]


def _given(thing: Any) -> Iterator[type]:
    """Classes of the package in what ``thing`` returns, or in what a class holds and returns."""
    if not inspect.isclass(thing):
        yield from _classes(_annotation(thing, "return"))
        return
    for name in thing.__annotations__ if dataclasses.is_dataclass(thing) else ():
        yield from _classes(_annotation(thing, name))
    for name, member in vars(thing).items():
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(function):
            yield from _classes(_annotation(function, "return"))


def _annotation(thing: Any, name: str) -> Any:
    """An annotation as an object; None if there is none."""
    text = thing.__annotations__.get(name)
    return eval(text, _names(thing.__module__)) if isinstance(text, str) else text


@functools.cache
def _names(module: str) -> dict[str, Any]:
    """The names of a module, and those that it imports for type checkers only."""
    names = dict(vars(sys.modules[module]))
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            known = [line for line in node.body if getattr(line, "module", "") != "_typeshed"]
            exec(compile(ast.Module(known, []), module, "exec"), names)   # _typeshed is no module
    return names


def _classes(annotation: Any) -> Iterator[type]:
    is_plain = inspect.isclass(annotation) and not typing.get_args(annotation)
    if is_plain and annotation.__module__.startswith(f"{trilobite.__name__}."):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _classes(part)


def directive_text(name: str, thing: Any) -> str:
    """The directive of autodoc for ``thing``, which is importable as ``name``."""
    if inspect.isclass(thing):
        return f".. autoclass:: {name}\n   :members:\n"
    kind = "autofunction" if inspect.isroutine(thing) else "autodata"
    return f".. {kind}:: {name}\n"


class FunctionsDirective(SphinxDirective):
    """``{functions}``."""

    def run(self) -> list[nodes.Node]:
        """Nodes of the public names, sorted as ``__all__`` is."""
        texts = [directive_text(f"trilobite.{name}", thing) for name, thing in public().items()]
        return self.parse_text_to_nodes(_restructured(texts))


class ResultsDirective(SphinxDirective):
    """``{results}``."""

    def run(self) -> list[nodes.Node]:
        """Nodes of the classes that are given."""
        texts = [directive_text(f"{result.__module__}.{result.__qualname__}", result)
                 for result in results()]
        return self.parse_text_to_nodes(_restructured(texts))


def _restructured(texts: list[str]) -> str:
    return "\n".join(["```{eval-rst}", *texts, "```"])


def setup(sphinx: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    sphinx.add_directive("functions", FunctionsDirective)
    sphinx.add_directive("results", ResultsDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
