"""JSON from strangers: files read with a size limit, objects read field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ....errors import CheckpointError
from ....tools.files import read_bounded
from ....tools.json_text import parse_json

__all__ = ["Fields", "parse_json_object", "printable", "read_json", "shown"]

_JSON_LIMIT = 64 << 20   # bytes; the index of the largest public checkpoints is under 10 MB


def shown(value: object) -> str:
    """``value`` for an error message: as JSON would spell it, cut after 60 characters."""
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):   # an integer of thousands of digits; nested too deeply
        text = f"{type(value).__name__} too large to show"
    return text if len(text) <= 60 else f"{text[:57]}..."


def printable(name: str) -> str:
    """A name out of a file for an error message: control characters escaped, nothing cut."""
    return json.dumps(name)[1:-1]


def parse_json_object(text: bytes | bytearray, where: str) -> dict[str, Any]:
    """Parse ``text`` as one JSON object.

    Raises
    ------
    CheckpointError
        It is not JSON, not UTF-8, nested too deeply, not an object, or has a number that is not
        finite (which could only be written again as what is not JSON); the message begins with
        ``where``.
    """
    try:
        value = parse_json(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:   # JSONDecodeError, UnicodeDecodeError, huge int
        raise CheckpointError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{where} holds {shown(value)}; it must be a JSON object")
    return value


def read_json(path: Path, within: Path | None = None) -> dict[str, Any]:
    """Read a JSON object from a regular file of at most 64 MiB; ``CheckpointError`` names the file.

    ``within``: the folder that the file must not be a link out of.
    """
    return parse_json_object(read_bounded(path, _JSON_LIMIT, CheckpointError, within), str(path))


class Fields:
    """A JSON object whose fields are taken one by one; what nobody took is refused at the end.

    ``null`` counts as absent, as in Hugging Face's configurations: the default then holds, or
    the field is missing if there is none. Every method raises ``CheckpointError`` with a sentence
    that names ``where`` (a file, or a field of one), the field, its value and what would be right.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self._where = where
        self._taken: set[str] = set()

    def refuse(self, name: str, expected: str) -> CheckpointError:
        """The error that field ``name`` holds something else than ``expected``."""
        value = shown(self._values.get(name))
        return CheckpointError(f'{self._where}: "{name}" is {value}; it must be {expected}')

    def stated(self, name: str) -> bool:
        """Whether the field is there at all, be it null."""
        return name in self._values

    def present(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(name) is not None

    def raw(self, name: str) -> Any:
        """The field as it stands, or None."""
        self._taken.add(name)
        return self._values.get(name)

    def integer(
        self, name: str, high: int, *, low: int = 1, default: int | None = None
    ) -> int:
        """An integer from ``low`` to ``high``; required unless there is a default."""
        value = self._required(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self.refuse(name, f"an integer from {low} to {high}")
        return value

    def optional_integer(self, name: str, high: int, *, low: int = 1) -> int | None:
        """An integer from ``low`` to ``high``, or None where it is absent or null."""
        if not self.present(name):
            self._taken.add(name)
            return None
        return self.integer(name, high, low=low)

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number from ``low`` to ``high``; required unless there is a default."""
        value = self._required(name, default)
        # An integer may be too large for a float: it is compared first.
        if type(value) not in (int, float) or not low <= value <= high or not math.isfinite(value):
            raise self.refuse(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def boolean(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._required(name, default)
        if type(value) is not bool:
            raise self.refuse(name, "true or false")
        return value

    def choice(self, name: str, options: Iterable[str], default: str | None = None) -> str:
        """One of a few words."""
        options = list(options)
        value = self._required(name, default)
        if not isinstance(value, str) or value not in options:
            words = ", ".join(f'"{option}"' for option in options)
            raise self.refuse(name, words if len(options) == 1 else f"one of {words}")
        return value

    def fields(self, name: str) -> Fields:
        """A nested object, to be read field by field in turn."""
        value = self.raw(name)
        if not isinstance(value, dict):
            raise self.refuse(name, "a JSON object")
        return Fields(value, f'{self._where}: in "{name}"')

    def fixed(self, name: str, value: Any) -> None:
        """A field that is understood with one value only: absent, null or ``value``."""
        stated = self.raw(name)
        same = stated == value and isinstance(stated, bool) == isinstance(value, bool)
        if stated is not None and not same:
            raise self.refuse(name, f"{shown(value)}, the only value that is supported")

    def ignore(self, names: Iterable[str]) -> None:
        """Fields that do not change the model's arithmetic, whatever they hold."""
        self._taken.update(names)

    def finish(self) -> None:
        """Refuse the first field that was neither taken nor null."""
        for name in self._values:
            if name not in self._taken and self.present(name):
                value = shown(self._values[name])
                raise CheckpointError(
                    f'{self._where}: the field "{name}" (here {value}) is not understood; it could '
                    "change the result, so the model is refused"
                )

    def _required(self, name: str, default: Any) -> Any:
        value = self.raw(name)
        if value is not None:
            return value
        if default is None:
            raise CheckpointError(f'{self._where}: the field "{name}" is missing')
        return default
