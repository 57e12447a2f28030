"""All device descriptions, FPGA boards and SoCs, side by side."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ...errors import EstimateError
from .device import Device, load_device
from .quantity import Quantity
from .soc import Soc, load_soc
from .tables import bundled_names, own_names, plugin_names, read_toml

__all__ = ["Constant", "bundled_devices", "constants", "kinds", "own_devices",
           "plugin_devices", "read_device"]


@dataclasses.dataclass(frozen=True)
class Constant:
    """One constant of a description, and where it stands in it (``dram.peak``)."""

    path: str
    quantity: Quantity


def bundled_devices() -> dict[str, Device | Soc]:
    """Every description that comes with the package, by the name that ``--device`` takes."""
    return {name: read_device(name) for name in bundled_names("devices")}


def own_devices() -> dict[str, Device | Soc]:
    """Every description in the user's own folder, such as ``this-machine``."""
    return {name: read_device(name) for name in own_names("devices")}


def plugin_devices() -> dict[str, Device | Soc]:
    """Every description that another installed package brings."""
    return {name: read_device(name) for name in plugin_names("devices")}


def read_device(name: str) -> Device | Soc:
    """Read the bundled device ``name``, or a .toml file, whichever kind it is.

    Raises
    ------
    EstimateError
        The file is missing or wrong; the message names the file and the key.
    """
    data, where = read_toml("devices", name)
    if data.get("kind") not in ("fpga", "soc"):
        raise EstimateError(f"{where}: kind must be 'fpga' or 'soc', not {data.get('kind')!r}")
    return load_device(name) if data["kind"] == "fpga" else load_soc(name)


def constants(description: Any, path: str = "") -> Iterator[Constant]:
    """Every constant of a description, in the order of its file."""
    if isinstance(description, Quantity):
        yield Constant(path, description)
    elif isinstance(description, tuple):
        for index, entry in enumerate(description):
            yield from constants(entry, f"{path}[{index}]")
    elif dataclasses.is_dataclass(description):
        for field in dataclasses.fields(description):
            inner = f"{path}.{field.name}" if path else field.name
            yield from constants(getattr(description, field.name), inner)


def kinds(description: Device | Soc) -> Counter[str]:
    """How many of a description's constants are cited, derived or assumed."""
    return Counter(constant.quantity.kind for constant in constants(description))
