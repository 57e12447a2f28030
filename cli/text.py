"""Text of others (names, sources, what a model writes), made safe to print."""

from __future__ import annotations

import string
import unicodedata
from typing import Any

from rich.text import Span, Text

__all__ = ["marked", "visible"]

_SLOT = "\ue000"   # private use: it stands in no template of ours
# Control characters, halves of surrogate pairs, and separators of lines and paragraphs.
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
_BIDIRECTIONAL = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def visible(text: str, keep: str = "") -> str:
    r"""``text`` with each control character as its escape (``\x1b``), but those in ``keep``.

    So are characters that reorder a line and such as no encoding holds, for a name that is not
    UTF-8. A backslash stays one.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if _is_unseen(character, keep) else character
        for character in text
    )


def _is_unseen(character: str, keep: str) -> bool:
    return character not in keep and (
        unicodedata.category(character) in _UNSEEN or character in _BIDIRECTIONAL
    )


class _Slots(string.Formatter):
    """Puts a slot where a value goes, and keeps the value apart."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def format_field(self, value: Any, spec: str) -> str:
        self.values.append(visible(super().format_field(value, spec)))
        return _SLOT


def marked(template: str, *values: Any) -> Text:
    """``template`` in rich's markup, filled like ``str.format`` with ``values``, which are text.

    Whatever stands in a value is shown, by ``visible``: no markup, no emoji, no control character.
    """
    if not values:
        return Text.from_markup(template, emoji=False)
    slots = _Slots()
    frame = Text.from_markup(slots.vformat(template, values, {}), emoji=False)
    pieces = frame.plain.split(_SLOT)
    plain, moved = pieces[0], list(range(len(pieces[0]) + 1))   # where each offset has gone
    for value, piece in zip(slots.values, pieces[1:], strict=True):
        plain += value
        moved += range(len(plain), len(plain) + len(piece) + 1)
        plain += piece
    spans = [Span(moved[span.start], moved[span.end], span.style) for span in frame.spans]
    return Text(plain, spans=spans)
