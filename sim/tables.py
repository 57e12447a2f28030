"""Data files at the door: TOML read strictly into frozen dataclasses of quantities.

A description (device, hardware) is a dataclass whose fields are made by ``quantity`` (a constant in
a stated unit), ``table`` (a sub-table, another such dataclass), ``tables`` (a list of those) or are
plain text. A key that is missing, unknown or of the wrong unit is refused, with the file and the key.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..errors import EstimateError
from .quantity import Quantity

__all__ = ["build", "quantity", "read_toml", "table", "tables"]

Description = TypeVar("Description")


def quantity(unit: str, count: bool = False, optional: bool = False) -> Any:
    """A field that holds a ``Quantity`` in ``unit``; ``count``: one exact whole number.

    ``optional``: the key may be absent, and the field is then None.
    """
    metadata = {"unit": unit, "count": count}
    if optional:
        return dataclasses.field(default=None, metadata=metadata)
    return dataclasses.field(metadata=metadata)


def table(cls: type) -> Any:
    """A field that holds one ``cls``, read from a sub-table of the field's name."""
    return dataclasses.field(metadata={"table": cls})


def tables(cls: type) -> Any:
    """A field that holds a tuple of ``cls``, read from an array of tables of the field's name."""
    return dataclasses.field(metadata={"tables": cls})


def read_toml(folder: str, name: str) -> tuple[dict[str, Any], str]:
    """Read the bundled file ``sim/<folder>/<name>.toml``, or the file ``name`` if it ends in .toml.

    Returns the table and the file's name for messages.

    Raises
    ------
    EstimateError
        There is no such file, it cannot be read, or it is not TOML.
    """
    bundled = Path(__file__).parent / folder
    path = Path(name) if name.endswith(".toml") else bundled / f"{name}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), str(path)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in bundled.glob("*.toml")))
        raise EstimateError(
            f"There is no description {name!r} in {folder}; give one of {known}, or a .toml file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise EstimateError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise EstimateError(f"{path} is not valid TOML: {error}") from None


def build(cls: type[Description], data: Mapping[str, Any], where: str) -> Description:
    """Make a ``cls`` of a TOML table. ``where`` is the file (and key) for messages.

    Raises
    ------
    EstimateError
        A key is unknown or missing, or a value is not what its field says.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}   # type: ignore[arg-type]
    optional = {name for name, field in fields.items() if field.default is None}
    _check_keys(data, set(fields), where, optional)
    return cls(**{
        name: _read_field(fields[name], value, f"{where}: {name}") for name, value in data.items()
    })


def _read_field(field: dataclasses.Field, value: Any, where: str) -> Any:
    """The value of one field, by what its metadata says it is."""
    if "unit" in field.metadata:
        return _read_quantity(value, where, field.metadata["unit"], field.metadata["count"])
    if "table" in field.metadata:
        return build(field.metadata["table"], _require(value, dict, where), where)
    if "tables" in field.metadata:
        rows = _require(value, list, where)
        return tuple(
            build(field.metadata["tables"], _require(row, dict, where), f"{where}[{index}]")
            for index, row in enumerate(rows)
        )
    return _require(value, str, where)


def _read_quantity(value: Any, where: str, unit: str, count: bool) -> Quantity:
    """A quantity: ``{low, nominal, high, ...}``, or ``{value, ...}`` where there is no range."""
    data = dict(_require(value, dict, where))
    labels = {"unit", "kind", "source"}
    numbers = {"value"} if "value" in data else {"low", "nominal", "high"}
    _check_keys(data, numbers | labels, where)
    if "value" in data:
        data.update(dict.fromkeys(("low", "nominal", "high"), data.pop("value")))
    for key in ("low", "nominal", "high"):
        if isinstance(data[key], bool) or not isinstance(data[key], int | float):
            raise EstimateError(f"{where}: {key} must be a number, not {data[key]!r}")
    for key in labels:
        _require(data[key], str, f"{where}: {key}")
    if data["unit"] != unit:
        raise EstimateError(f"{where}: the unit must be {unit!r}, not {data['unit']!r}")
    try:
        result = Quantity(**data)
    except EstimateError as error:
        raise EstimateError(f"{where}: {error}") from None
    if count and not result.is_count:
        raise EstimateError(f"{where}: must be one whole number, not {result.low} to {result.high}")
    return result


def _require(value: Any, kind: type, where: str) -> Any:
    """``value`` if it is a ``kind``; else refuse it."""
    names = {dict: "a table", list: "an array of tables", str: "text"}
    if not isinstance(value, kind):
        raise EstimateError(f"{where}: must be {names[kind]}, not {value!r}")
    return value


def _check_keys(
    data: Mapping[str, Any], known: set[str], where: str, optional: set[str] | None = None
) -> None:
    """Refuse unknown keys and missing ones that are not optional, by name."""
    if unknown := sorted(set(data) - known):
        raise EstimateError(
            f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    if missing := sorted(known - set(data) - (optional or set())):
        raise EstimateError(f"{where}: missing key {', '.join(missing)}")
