"""JSON as commands write it, only what every reader of JSON takes; and JSON of strangers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import OutputError

__all__ = ["json_text", "parse_json"]

_MOST_DIGITS = 4000   # of an integer; Python converts 4,300


def json_text(value: Any, indent: int | None = 2) -> str:
    """``value`` as JSON that holds no NaN and no infinity, neither of which JSON has.

    Raises
    ------
    OutputError
        A number is not finite; the sentence says which, and nothing has been written.
    """
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        for place, number in _numbers(value, ""):
            if not math.isfinite(number):
                raise OutputError(
                    f"The result cannot be written as JSON: {place} is {number}, and must be "
                    "finite; a value of the input is too large or too small") from None
        raise


def parse_json(text: str) -> Any:
    """The value that ``text`` holds.

    Raises
    ------
    ValueError
        It is no JSON, or a number in it is NaN, infinite, beyond a float64 or an integer of more
        than 4,000 digits; the message says at which key.
    RecursionError
        It is nested too deeply.
    """
    refused: list[_Refused] = []

    def refuse(digits: str) -> _Refused:
        refused.append(_Refused(digits))
        return refused[-1]

    def whole(digits: str) -> int | _Refused:
        return int(digits) if len(digits) <= _MOST_DIGITS else refuse(digits)

    def finite(digits: str) -> float | _Refused:
        return number if math.isfinite(number := float(digits)) else refuse(digits)

    value = json.loads(text, parse_int=whole, parse_float=finite, parse_constant=refuse)
    if refused:
        one = refused[0]
        raise ValueError(f"{_place_of(one, value, '') or 'it'} is {one.shown}")
    return value


class _Refused:
    """A number that is not taken, in the place where it stands."""

    def __init__(self, digits: str) -> None:
        enormous = len(digits) > _MOST_DIGITS and digits.lstrip("-").isdigit()
        self.shown = (f"an integer of {len(digits)} digits" if enormous
                      else f"{digits[:60]}, which is not a finite number")


def _place_of(sought: _Refused, value: Any, place: str) -> str | None:
    """Where ``sought`` is in ``value``; None if it is not."""
    if value is sought:
        return place
    pairs = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ())
    found = (_place_of(sought, inner, _inside(place, key)) for key, inner in pairs)
    return next((one for one in found if one is not None), None)


def _inside(place: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{place}[{key}]"
    return f"{place}.{key}" if place else key


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every float in ``value``, and where it is: ``estimates[0].rate.low``."""
    if isinstance(value, float):
        yield place or "it", value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, _inside(place, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _numbers(inner, _inside(place, index))
