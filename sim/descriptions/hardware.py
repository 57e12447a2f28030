"""The accelerator to estimate, read from ``sim/descriptions/hardware/<name>.toml``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from ...errors import EstimateError
from ...hw import TlmmParameters
from ...model import ModelConfig
from .device import Device
from .layout import Layout
from .quantity import Quantity
from .tables import Unit, build, read_toml

__all__ = ["URAM_BYTES", "Budget", "Hardware", "Host", "Tlmm", "load_hardware"]

URAM_BYTES = 36_864    # 288 Kb
_BRAM_BYTES = 4_608    # 36 Kb
_SPILLED_BITS = 32     # activations between operators are float32


@dataclass(frozen=True)
class Tlmm:
    """Parameters of the table-lookup matmul engine, as elaborated."""

    group_size: Annotated[Quantity, Unit("weights", count=True)]
    tables: Annotated[Quantity, Unit("tables", count=True)]
    columns: Annotated[Quantity, Unit("output columns", count=True)]
    activation_width: Annotated[Quantity, Unit("bit", count=True)]
    max_k: Annotated[Quantity, Unit("inputs", count=True)]
    max_m: Annotated[Quantity, Unit("outputs", count=True)]

    def __post_init__(self) -> None:
        """Refuse what no engine can be built with."""
        try:
            self.parameters()
        except ValueError as error:
            raise EstimateError(str(error)) from None

    def parameters(self) -> TlmmParameters:
        """The parameters with which ``hw.matmul.tlmm.Tlmm`` is elaborated."""
        return TlmmParameters(**{
            field.name: getattr(self, field.name).count for field in fields(self)
        })


@dataclass(frozen=True)
class Clock:
    """Fabric clock, and the cycles before an operator's first beat."""

    frequency: Annotated[Quantity, Unit("MHz")]
    start: Annotated[Quantity, Unit("cycles")]


@dataclass(frozen=True)
class Storage:
    """Widths in DRAM, and buffers on the chip."""

    head_width: Annotated[Quantity, Unit("bit", count=True)]
    kv_width: Annotated[Quantity, Unit("bit", count=True)]
    weight_buffer: Annotated[Quantity, Unit("B", count=True)]
    activation_buffer: Annotated[Quantity, Unit("B", count=True)]


@dataclass(frozen=True)
class Integer:
    """The unit for integer dot products that are not ternary: attention and LM head."""

    lanes: Annotated[Quantity, Unit("MAC/cycle", count=True)]
    efficiency: Annotated[Quantity, Unit("fraction")]
    query_rows: Annotated[Quantity, Unit("tokens", count=True)]


@dataclass(frozen=True)
class Vector:
    """The unit for elementwise passes."""

    lanes: Annotated[Quantity, Unit("elements/cycle", count=True)]
    efficiency: Annotated[Quantity, Unit("fraction")]


@dataclass(frozen=True)
class Overlap:
    """Per unit: the part of the shorter of loading and computing that hides behind the longer."""

    tlmm: Annotated[Quantity, Unit("fraction")]
    integer: Annotated[Quantity, Unit("fraction")]
    vector: Annotated[Quantity, Unit("fraction")]


@dataclass(frozen=True)
class Host:
    """The processor's part."""

    token: Annotated[Quantity, Unit("ms")]


@dataclass(frozen=True)
class Budget:
    """How much of one resource of the device the buffers and lanes take."""

    resource: str
    used: int
    available: int


@dataclass(frozen=True)
class Hardware:
    """A complete accelerator: the TLMM engine, the units around it, and how data lies in DRAM."""

    name: str
    tlmm: Tlmm
    clock: Clock
    storage: Storage
    integer: Integer
    vector: Vector
    overlap: Overlap
    host: Host

    @property
    def uram(self) -> int:
        """URAM blocks of the weight buffer."""
        return -(-self.storage.weight_buffer.count // URAM_BYTES)

    @property
    def bram(self) -> int:
        """Block RAMs of the activation buffer."""
        return -(-self.storage.activation_buffer.count // _BRAM_BYTES)

    def budget(self, device: Device) -> tuple[Budget, ...]:
        """What the sized parts take of ``device``; the engine's LUT wait for synthesis."""
        fabric = device.fabric
        return (
            Budget("URAM", self.uram, fabric.uram.count),
            Budget("BRAM", self.bram, fabric.bram.count),
            Budget("DSP", -(-self.integer.lanes.count // 2), fabric.dsp.count),
        )

    def layout(self, config: ModelConfig, tokens: int) -> Layout:
        """How ``config`` lies in DRAM, and whether ``tokens`` rows of activations stay on chip."""
        widest = max(config.hidden_size, config.intermediate_size)
        activations = tokens * (config.hidden_size + widest) * _SPILLED_BITS // 8
        engine = self.tlmm.parameters()
        return Layout(
            weight_bits=engine.index_width / engine.group_size,
            pad_k=engine.pass_length,
            pad_m=engine.columns,
            head_bits=self.storage.head_width.count,
            kv_bits=self.storage.kv_width.count,
            query_rows=self.integer.query_rows.count,
            spill=activations > self.storage.activation_buffer.count,
        )


def load_hardware(name: str) -> Hardware:
    """Read the bundled accelerator ``name`` (``tlmm-kv260``), or a .toml file.

    Raises
    ------
    EstimateError
        The file is missing, or says something that a ``Hardware`` does not hold.
    """
    return build(Hardware, *read_toml("hardware", name))
