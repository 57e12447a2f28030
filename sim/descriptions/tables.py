"""Data files at the door: TOML read strictly into frozen dataclasses of quantities.

A description (device, accelerator) is a dataclass whose fields are
``Annotated[Quantity, MeasuredIn("W")]`` (a constant in that unit), another such dataclass (a
sub-table), a tuple of those (an array of tables), a whole number or text; a field with a default
may be absent. A key that is missing, unknown or of the wrong unit is refused, with the file and the
key.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ...errors import EstimateError
from ...tools.files import read_text_bounded
from ...tools.plugins import plugin_files
from .quantity import Quantity
from .toml_text import parse_toml

__all__ = ["MeasuredIn", "build_description", "bundled_folder", "bundled_names", "check_keys",
           "own_folder", "own_names", "plugin_names", "read_toml", "require"]

_HERE = Path(__file__).parent
# Accelerators are described beside their RTL.
_ELSEWHERE = {"accelerators": _HERE.parents[1] / "fpga" / "configurations"}

_LARGEST_FILE = 1 << 20   # bytes; the largest that is bundled has 30,000
# Of a constant in its unit: beyond it, sums and products of constants could leave float64.
_SMALLEST, _LARGEST = 1e-12, 1e18

Description = TypeVar("Description")


@dataclass(frozen=True)
class MeasuredIn:
    """Annotation of a ``Quantity`` field: its unit, and what it may be.

    ``count``: one exact whole number, without a range. ``positive``: not 0, as something is divided
    by it. ``most``: not more, at its high end.
    """

    name: str
    count: bool = False
    positive: bool = False
    most: float = math.inf

    @property
    def values(self) -> str:
        """What it may be, in words."""
        if self.positive:
            return "above 0" if math.isinf(self.most) else f"above 0, at most {self.most:g}"
        return "from 0" if math.isinf(self.most) else f"0 to {self.most:g}"

    def allows(self, quantity: Quantity) -> bool:
        """Whether all of its range may be."""
        return quantity.high <= self.most and (quantity.low > 0 or not self.positive)


def bundled_folder(folder: str) -> Path:
    """Where the descriptions of one sort that come with the package are."""
    return _ELSEWHERE.get(folder, _HERE / folder)


def bundled_names(folder: str) -> list[str]:
    """Names of the descriptions in ``bundled_folder``."""
    return sorted(file.stem for file in bundled_folder(folder).glob("*.toml"))


def own_folder(folder: str) -> Path:
    """Where a user's own descriptions are: in the user's data folder, as XDG says.

    Raises
    ------
    EstimateError
        The user has no home.
    """
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():   # which XDG's specification says to ignore
        try:
            data = Path.home() / ".local" / "share"
        except RuntimeError:
            raise EstimateError("There is no folder for descriptions, because HOME is not set; set "
                                "XDG_DATA_HOME to an absolute folder of yours") from None
    return data / "trilobite" / folder


def own_names(folder: str) -> list[str]:
    """Names of the descriptions in the user's own folder; none where the user has no home."""
    try:
        return sorted(file.stem for file in own_folder(folder).glob("*.toml"))
    except EstimateError:
        return []


def plugin_names(folder: str) -> list[str]:
    """Names of the descriptions that other installed packages bring.

    Raises ``PluginError`` where such a package is broken.
    """
    ours = {*bundled_names(folder), *own_names(folder)}
    return [name for name in _brought(folder) if name not in ours]


def read_toml(folder: str, name: str) -> tuple[dict[str, Any], str]:
    """Read the bundled description ``name`` of ``folder``, or the file ``name``, a .toml file.

    A name that is not bundled is looked for in ``own_folder``, and then in what other installed
    packages bring. Returns the table and the file's name for messages.

    Raises
    ------
    EstimateError
        There is no such file, it cannot be read, or it is not TOML.
    PluginError
        The name is looked for in other packages, and one of them is broken.
    """
    path = Path(name) if name.endswith(".toml") else _named(folder, name)
    if _is_missing(path):
        known = ", ".join([*bundled_names(folder), *own_names(folder), *plugin_names(folder)])
        raise EstimateError(
            f"There is no description {name!r} in {folder}; give one of {known}, or a .toml file"
        )
    text = read_text_bounded(path, _LARGEST_FILE, EstimateError)
    return parse_toml(text, str(path)), str(path)


def _is_missing(path: Path) -> bool:
    """Whether nothing has this name; a name that cannot be looked up may have something."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _named(folder: str, name: str) -> Path:
    """Where the description ``name`` is, or would be if there were one."""
    bundled = bundled_folder(folder) / f"{name}.toml"
    if name in bundled_names(folder):
        return bundled
    if name in own_names(folder):
        return own_folder(folder) / f"{name}.toml"
    return _brought(folder).get(name, bundled)


def _brought(folder: str) -> dict[str, Path]:
    """The descriptions that other installed packages bring, by name."""
    return plugin_files(f"trilobite.{folder}", ".toml")


def build_description(cls: type[Description], data: Mapping[str, Any], where: str,
          given: Mapping[str, Any] | None = None) -> Description:
    """Make a ``cls`` of a TOML table. ``where`` is the file (and key) for messages.

    ``given`` are fields that do not come from the table, and are no keys of it. What is a
    ``Quantity`` already is taken as it is.

    Raises
    ------
    EstimateError
        A key is unknown or missing, or a value is not what its field says.
    """
    given = given or {}
    hints = {name: hint for name, hint in get_type_hints(cls, include_extras=True).items()
             if name not in given}
    fields = dataclasses.fields(cls)   # type: ignore[arg-type]
    optional = {field.name for field in fields if field.default is not dataclasses.MISSING}
    check_keys(data, set(hints), where, optional)
    values = {
        name: _read_field(hints[name], value, f"{where}: {name}") for name, value in data.items()
    }
    try:
        return cls(**given, **values)
    except (EstimateError, ValueError) as error:
        raise EstimateError(f"{where}: {error}") from None


def _read_field(hint: Any, value: Any, where: str) -> Any:
    """The value of one field, by its type."""
    if get_origin(hint) is UnionType:   # a table that may be absent
        hint, = (kind for kind in get_args(hint) if kind is not NoneType)
    if get_origin(hint) is Annotated:
        return _read_quantity(value, where, hint.__metadata__[0])
    if get_origin(hint) is tuple:
        rows = require(value, list, where)
        kind = get_args(hint)[0]
        kind = str if get_origin(kind) is Literal else kind   # the description checks which words
        return tuple(
            build_description(kind, require(row, dict, f"{where}[{index}]"), f"{where}[{index}]")
            if isinstance(kind, type) and dataclasses.is_dataclass(kind)
            else require(row, kind, f"{where}[{index}]")
            for index, row in enumerate(rows)
        )
    if dataclasses.is_dataclass(hint):
        return build_description(hint, require(value, dict, where), where)   # type: ignore[arg-type]
    return require(value, hint, where)


def _read_quantity(value: Any, where: str, unit: MeasuredIn) -> Quantity:
    """A quantity: ``{low, nominal, high, ...}``, or ``{value, ...}`` where there is no range.

    Or ``{as, ...}``: that of another description, see ``_as_elsewhere``.
    """
    if isinstance(value, Quantity):
        return value
    data = dict(require(value, dict, where))
    if "as" in data:
        data = _as_elsewhere(data, where)
    labels = {"unit", "kind", "source"}
    numbers = {"value"} if "value" in data else {"low", "nominal", "high"}
    check_keys(data, numbers | labels, where)
    for key in sorted(numbers):
        if isinstance(data[key], bool) or not isinstance(data[key], int | float):
            raise EstimateError(f"{where}: {key} must be a number, not {_shown(data[key])}")
    for key in labels:
        require(data[key], str, f"{where}: {key}")
    if "value" in data:
        data.update(dict.fromkeys(("low", "nominal", "high"), data.pop("value")))
    if data["unit"] != unit.name:
        raise EstimateError(f"{where}: the unit must be {unit.name!r}, not {data['unit']!r}")
    try:
        result = Quantity(**data)
    except EstimateError as error:
        raise EstimateError(f"{where}: {error}") from None
    if any(end and not _SMALLEST <= end <= _LARGEST for end in (result.low, result.high)):
        raise EstimateError(f"{where}: must be 0, or from {_SMALLEST:g} to {_LARGEST:g}, not "
                            f"{result.low:g} to {result.high:g} {unit.name}")
    if not unit.allows(result):
        said = f"{result.low:g}" if result.low == result.high else (
            f"{result.low:g} to {result.high:g}")
        raise EstimateError(f"{where}: must be {unit.values}, not {said} {unit.name}")
    if unit.count and not result.is_count:
        raise EstimateError(f"{where}: must be one whole number, not {result.low} to {result.high}")
    return result


def _as_elsewhere(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What ``as = "kv260.power.int8_mac"`` stands for: that constant of a bundled device.

    ``shared.NAME`` is one of ``shared.toml``, which no device has for its own. ``times`` multiplies
    all of it, ``{low, nominal, high}`` each end; then ``source`` says why.
    """
    check_keys(data, {"as", "times", "source"}, where, {"times", "source"})
    path = str(require(data["as"], str, f"{where}: as"))
    name, _, keys = path.partition(".")
    file = _HERE / "shared.toml" if name == "shared" else bundled_folder("devices") / f"{name}.toml"
    found: Any = parse_toml(read_text_bounded(file, _LARGEST_FILE, EstimateError), str(file)) if (
        file.is_file()) else {}
    for key in keys.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not {"unit", "source"} <= set(found):
        raise EstimateError(f"{where}: as must name a constant of a bundled device, such as "
                            f"'kv260.power.int8_mac', or of shared.toml, not {path!r}")
    if name == "shared" and "times" not in data:
        return found
    ends = dict.fromkeys(("low", "nominal", "high"), found.get("value")) if "value" in found else {
        end: found[end] for end in ("low", "nominal", "high")}
    times = data.get("times", 1.0)
    factors = times if isinstance(times, dict) else dict.fromkeys(ends, times)
    check_keys(factors, set(ends), f"{where}: times")
    factors = {end: require(float(factor) if type(factor) is int else factor, float,
                            f"{where}: times") for end, factor in factors.items()}
    said = data.get("source")
    if "times" in data and not said:
        raise EstimateError(f"{where}: source must say why the constant is multiplied")
    return {"unit": found["unit"], "kind": "assumption",
            "source": f"{said + ': ' if said else ''}as that of {name}: {found['source']}",
            **{end: ends[end] * factors[end] for end in ends}}


def require(value: Any, kind: type, where: str) -> Any:
    """``value`` if it is a ``kind`` (dict, list, str, int or float); else refuse it."""
    names = {dict: "a table", list: "an array of tables", str: "text", int: "a whole number",
             float: "a number"}
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise EstimateError(f"{where}: must be {names[kind]}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """A value for a sentence, cut after 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_keys(
    data: Mapping[str, Any], known: set[str], where: str, optional: set[str] | None = None
) -> None:
    """Refuse unknown keys and missing ones that are not optional, by name."""
    if unknown := sorted(set(data) - known):
        raise EstimateError(
            f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    if missing := sorted(known - set(data) - (optional or set())):
        raise EstimateError(f"{where}: missing key {', '.join(missing)}")
