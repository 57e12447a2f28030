"""A board, as far as time and energy go, read from ``sim/devices/<name>.toml``."""

from __future__ import annotations

from dataclasses import dataclass

from .quantity import Quantity
from .tables import build, quantity, read_toml, table, tables

__all__ = ["Device", "Dram", "Fabric", "Power", "Published", "load_device"]


@dataclass(frozen=True)
class Fabric:
    """What a design can use of the FPGA."""

    lut: Quantity = quantity("LUT", count=True)
    flip_flop: Quantity = quantity("FF", count=True)
    bram: Quantity = quantity("36 Kb block", count=True)
    uram: Quantity = quantity("288 Kb block", count=True)
    dsp: Quantity = quantity("DSP", count=True)


@dataclass(frozen=True)
class Dram:
    """The memory that holds weights and keys and values."""

    capacity: Quantity = quantity("B", count=True)
    peak: Quantity = quantity("GB/s")
    sustained: Quantity = quantity("GB/s")
    energy: Quantity = quantity("pJ/bit")


@dataclass(frozen=True)
class Power:
    """What the board draws beside DRAM traffic.

    ``idle`` is drawn always, ``uram_rest`` by each URAM of a loaded design, ``active`` while it
    computes (clock tree, controllers, the processor that polls); the last three are per operation.
    """

    idle: Quantity = quantity("W")
    uram_rest: Quantity = quantity("mW/URAM")
    active: Quantity = quantity("W")
    ternary_mac: Quantity = quantity("pJ/MAC")
    int8_mac: Quantity = quantity("pJ/MAC")
    operation: Quantity = quantity("pJ/operation")


@dataclass(frozen=True)
class Published:
    """A result that others measured on this board; quoted beside ours, never mixed with it.

    ``model`` names a bundled shape; ``first_token`` is for a prompt of 128 tokens; ``traffic`` is
    what one decoded token reads from DRAM.
    """

    name: str
    model: str
    note: str
    source: str
    tokens_per_second: Quantity = quantity("token/s")
    power: Quantity = quantity("W")
    energy: Quantity = quantity("J/token")
    first_token: Quantity | None = quantity("s", optional=True)
    traffic: Quantity | None = quantity("MB/token", optional=True)


@dataclass(frozen=True)
class Device:
    """One board: its name, fabric, memory, power, and what others measured on it."""

    name: str
    fabric: Fabric = table(Fabric)
    dram: Dram = table(Dram)
    power: Power = table(Power)
    published: tuple[Published, ...] = tables(Published)


def load_device(name: str) -> Device:
    """Read the bundled device ``name`` (``kv260``), or a .toml file.

    Raises
    ------
    EstimateError
        The file is missing, or says something that a ``Device`` does not hold.
    """
    return build(Device, *read_toml("devices", name))
