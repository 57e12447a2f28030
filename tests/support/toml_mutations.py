"""Hostile TOML: a few values of a table set to what nobody writes, the rest as it was."""

import datetime
import json
import random
import tomllib
from typing import Any

from .json_mutations import change_values

_RARE = ("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "0x" + 5000 * "f", "nan", "-inf",
         "1e-320", "9223372036854775807", "[[]]", "{}")


def change_toml(text: bytes, chance: random.Random) -> bytes:
    """``text`` with some of its values changed; as it is if it is no TOML."""
    try:
        table = tomllib.loads(text.decode())
        change_values(table, chance)
        return "\n".join(
            f"{json.dumps(key)} = {_written(value, chance)}" for key, value in table.items()
        ).encode()
    except (ValueError, RecursionError):
        return text


def _written(value: Any, chance: random.Random) -> str:
    """A value as TOML writes it in one line; seldom another one."""
    if not chance.randrange(200):
        return chance.choice(_RARE)
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {_written(one, chance)}" for key, one in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_written(one, chance) for one in value) + "]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if value is None:
        return '""'
    text = json.dumps(value)
    return {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}.get(text, text)
