"""TOML of users as a table, with integers as TOML has them."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from ...errors import EstimateError

__all__ = ["parse_toml"]

_DIGITS = re.compile(r"[0-9_]{1000,}")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The table that ``text`` holds; ``where`` is its file, for messages.

    Raises
    ------
    EstimateError
        It is no TOML, is nested too deeply, or holds an integer of more than 64 bits; the message
        says at which key, or on which line.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EstimateError(f"{where} is not valid TOML: {error}") from None
    except RecursionError:
        raise EstimateError(f"{where} is not valid TOML: it is nested too deeply") from None
    except ValueError as error:   # an integer of more digits than Python converts
        long = _DIGITS.search(text)
        line = "" if long is None else f"line {text.count(chr(10), 0, long.start()) + 1}: "
        raise EstimateError(f"{where} is not valid TOML: {line}{error}") from None
    _check_integers(table, where)
    return table


def _check_integers(value: Any, where: str) -> None:
    """Refuse integers of more than the 64 bits that TOML gives them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_integers(inner, f"{where}: {key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_integers(inner, f"{where}[{index}]")
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise EstimateError(f"{where}: an integer of TOML is -2^63 to 2^63 - 1, and this is not")
