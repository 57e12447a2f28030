"""Every key of a document, one after the other, set to what nobody writes.

Of documents in TOML and JSON alike; ``written`` gives the text of one with a key changed.
"""

import datetime
import json
import math
from collections.abc import Iterator
from typing import Any

__all__ = ["ODD", "Raw", "changed", "paths", "written"]

Path = tuple[str | int, ...]


class Raw(str):
    """Text that stands in the document as it is, whatever it means there."""


HUGE = "9" * 5000
_NUMBERS = {"enormous": Raw("1" + 400 * "0"), "digits": Raw(HUGE), "negative": -7, "zero": 0,
            "one": 1.5, "tiny": 1e-320, "large": 1e300, "hex": Raw("0x" + "f" * 17)}
ODD: dict[str, Any] = {
    **_NUMBERS, "nan": math.nan, "infinite": -math.inf, "true": True, "text": "odd",
    "empty": "", "long": "x" * 5000, "escape": "\x1b[31m", "date": datetime.date(1979, 5, 27),
    "time": datetime.datetime(1979, 5, 27, 7, 32), "list": [], "lists": [[1], [2]], "table": {},
    "tables": [{}], "deep": Raw("[" * 100_000), "null": None,
}
_ONLY_TOML, _ONLY_JSON = {"date", "time", "hex"}, {"null"}


def kinds(suffix: str) -> list[str]:
    """Names of the odd values that a file of this kind can hold."""
    return [name for name in ODD if name not in (_ONLY_TOML if suffix != ".toml" else _ONLY_JSON)]


def paths(value: Any, start: Path = ()) -> Iterator[Path]:
    """Where every key is; of a list that of its first item only."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        items = [(0, value[0])]
    for key, inner in items:
        if isinstance(key, str):
            yield (*start, key)
        yield from paths(inner, (*start, key))


def changed(value: Any, path: Path, odd: Any) -> Any:
    """A copy of a document with one key set to ``odd``."""
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], odd)
    return copy


def written(document: dict[str, Any], suffix: str) -> str:
    """A document as text, a key of the top in each line."""
    if suffix != ".toml":
        return _json(document)
    return "\n".join(f"{_key(key)} = {_toml(value)}" for key, value in document.items())


def _json(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {_json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float):
        return str(value)   # nan, inf
    return _json(value)


def _key(key: str) -> str:
    return json.dumps(key)
