"""JSON as commands write it: only what every reader of JSON takes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import OutputError

__all__ = ["json_text"]


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


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every float in ``value``, and where it is: ``estimates[0].rate.low``."""
    if isinstance(value, float):
        yield place or "it", value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{place}[{index}]")
