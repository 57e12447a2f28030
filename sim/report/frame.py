"""What every page has: one file with its style, a heading, and the versions of the tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .constants import tools_table
from .html import Markup, tag

__all__ = ["document_page"]


def document_page(
    title: str, mark: str, heading: str, lead: str, parts: list[object], tools: Mapping[str, str]
) -> str:
    """A page that needs nothing else; ``parts`` are sections in their order."""
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    head = tag(
        "head", tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    header = tag("header", tag("p", mark, class_="mark"), tag("h1", heading),
                 tag("p", lead, class_="lead"))
    body = tag("body", header, tag("main", *parts), tag("footer", tools_table(tools)))
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"
