"""HTML written by hand, escaped by default."""

from __future__ import annotations

import html

__all__ = ["Markup", "join", "tag"]

_VOID = {"meta", "br"}


class Markup(str):
    """Text that is HTML already; every other string is escaped before it gets into a page."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """``<name attributes>children</name>``.

    Children that are not ``Markup`` are escaped. An attribute's trailing underscore is dropped
    (``class_``), other underscores become hyphens, and a value of None leaves the attribute out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items() if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """The children one after the other; lists and tuples are flattened, None is nothing."""
    return Markup("".join(map(_write, children)))


def _write(child: object) -> str:
    """One child as HTML."""
    if child is None:
        return ""
    if isinstance(child, list | tuple):
        return join(*child)
    return child if isinstance(child, Markup) else html.escape(str(child))
