"""An FPGA board, as far as time and energy go, read from ``devices/<name>.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ...errors import EstimateError
from .quantity import Quantity
from .tables import MeasuredIn, build_description, read_toml

__all__ = ["Device", "Dram", "Fabric", "Power", "Published", "load_device"]


@dataclass(frozen=True)
class Fabric:
    """What a design can use of the FPGA."""

    lut: Annotated[Quantity, MeasuredIn("LUT", count=True, positive=True)]
    flip_flop: Annotated[Quantity, MeasuredIn("FF", count=True)]
    bram: Annotated[Quantity, MeasuredIn("36 Kb block", count=True)]
    uram: Annotated[Quantity, MeasuredIn("288 Kb block", count=True)]
    dsp: Annotated[Quantity, MeasuredIn("DSP", count=True)]


@dataclass(frozen=True)
class Dram:
    """The memory that holds weights and keys and values."""

    capacity: Annotated[Quantity, MeasuredIn("B", count=True, positive=True)]
    peak: Annotated[Quantity, MeasuredIn("GB/s", positive=True)]
    sustained: Annotated[Quantity, MeasuredIn("GB/s", positive=True)]
    energy: Annotated[Quantity, MeasuredIn("pJ/bit")]


@dataclass(frozen=True)
class Power:
    """What the board draws beside DRAM traffic.

    ``idle`` is drawn always, ``uram_rest`` by each URAM of a loaded design, ``active`` while it
    computes (clock tree, controllers, the processor that polls); the last three are per operation.

    ``active`` is of a design of ``active_lut`` at ``active_clock``, where these are known: all but
    the part ``active_fixed`` of it grows with the clock and with the LUT of a design.
    """

    idle: Annotated[Quantity, MeasuredIn("W")]
    uram_rest: Annotated[Quantity, MeasuredIn("mW/URAM")]
    active: Annotated[Quantity, MeasuredIn("W")]
    ternary_mac: Annotated[Quantity, MeasuredIn("pJ/MAC")]
    int8_mac: Annotated[Quantity, MeasuredIn("pJ/MAC")]
    operation: Annotated[Quantity, MeasuredIn("pJ/operation")]
    active_fixed: Annotated[Quantity | None, MeasuredIn("fraction", most=1.0)] = None
    active_clock: Annotated[Quantity | None, MeasuredIn("MHz", positive=True)] = None
    active_lut: Annotated[Quantity | None, MeasuredIn("LUT", count=True, positive=True)] = None

    def __post_init__(self) -> None:
        """Refuse a size or clock of ``active`` without the rest."""
        known = [self.active_fixed, self.active_clock, self.active_lut]
        if any(one is None for one in known) and any(one is not None for one in known):
            raise EstimateError("active_fixed, active_clock and active_lut must be there together")


@dataclass(frozen=True)
class Published:
    """A result that others measured on this board; quoted beside ours, never mixed with it.

    ``model`` names a bundled shape; ``first_token`` is for a prompt of 128 tokens; ``traffic`` is
    what one decoded token reads from DRAM, ``uram`` what its design takes.
    """

    name: str
    model: str
    note: str
    source: str
    tokens_per_second: Annotated[Quantity, MeasuredIn("token/s", positive=True)]
    power: Annotated[Quantity, MeasuredIn("W")]
    energy: Annotated[Quantity, MeasuredIn("J/token")]
    first_token: Annotated[Quantity | None, MeasuredIn("s")] = None
    traffic: Annotated[Quantity | None, MeasuredIn("MB/token")] = None
    uram: Annotated[Quantity | None, MeasuredIn("288 Kb block", count=True)] = None


@dataclass(frozen=True)
class Device:
    """One board: its name, fabric, memory, power, and what others measured on it."""

    name: str
    kind: str
    fabric: Fabric
    dram: Dram
    power: Power
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no FPGA."""
        if self.kind != "fpga":
            raise EstimateError(f"kind must be 'fpga', not {self.kind!r}")


def load_device(name: str) -> Device:
    """Read the bundled board ``name`` (``kv260``), or a .toml file.

    Raises
    ------
    EstimateError
        The file is missing, describes a SoC, or says something that a ``Device`` does not hold.
    """
    data, where = read_toml("devices", name)
    if data.get("kind") == "soc":
        raise EstimateError(f"{where}: a SoC has no fabric for an accelerator; give an FPGA board")
    return build_description(Device, data, where)
