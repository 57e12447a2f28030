"""The constants with which formulas estimate an accelerator."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, get_type_hints

from ...hw import TlmmParameters
from ...model import ModelConfig
from .device import Device
from .dram_layout import DramLayout
from .quantity import Quantity
from .tables import MeasuredIn

__all__ = ["URAM_BYTES", "Budget", "EngineConstants", "FormulaAccelerator", "Host"]

URAM_BYTES = 36_864    # 288 Kb
_BRAM_BYTES = 4_608    # 36 Kb
_SPILLED_BITS = 32     # activations between operators are float32


@dataclass(frozen=True)
class EngineConstants:
    """Parameters of the table-lookup matmul engine, as elaborated."""

    group_size: Annotated[Quantity, MeasuredIn("weights", count=True)]
    tables: Annotated[Quantity, MeasuredIn("tables", count=True)]
    columns: Annotated[Quantity, MeasuredIn("output columns", count=True)]
    activation_width: Annotated[Quantity, MeasuredIn("bit", count=True)]
    max_k: Annotated[Quantity, MeasuredIn("inputs", count=True)]
    max_m: Annotated[Quantity, MeasuredIn("outputs", count=True)]

    @classmethod
    def of(cls, parameters: TlmmParameters, source: str = "hw.TlmmParameters") -> EngineConstants:
        """The constants of an engine that ``source`` describes."""
        units = get_type_hints(cls, include_extras=True)
        return cls(**{
            name: Quantity(value, value, value, units[name].__metadata__[0].name, "rtl", source)
            for name in units for value in [getattr(parameters, name)]
        })

    def parameters(self) -> TlmmParameters:
        """The parameters with which ``hw.matmul.tlmm.Tlmm`` is elaborated."""
        return TlmmParameters(**{
            field.name: getattr(self, field.name).count for field in fields(self)
        })


@dataclass(frozen=True)
class Clock:
    """Fabric clock, and the cycles before an operator's first beat."""

    frequency: Annotated[Quantity, MeasuredIn("MHz", positive=True)]
    start: Annotated[Quantity, MeasuredIn("cycles")]


@dataclass(frozen=True)
class Storage:
    """Widths in DRAM, and buffers on the chip."""

    head_width: Annotated[Quantity, MeasuredIn("bit", count=True, positive=True, most=32)]
    kv_width: Annotated[Quantity, MeasuredIn("bit", count=True, positive=True, most=32)]
    weight_buffer: Annotated[Quantity, MeasuredIn("B", count=True)]
    activation_buffer: Annotated[Quantity, MeasuredIn("B", count=True)]


@dataclass(frozen=True)
class Integer:
    """The unit for integer dot products that are not ternary: attention and LM head."""

    lanes: Annotated[Quantity, MeasuredIn("MAC/cycle", count=True, positive=True)]
    efficiency: Annotated[Quantity, MeasuredIn("fraction", positive=True, most=1)]
    query_rows: Annotated[Quantity, MeasuredIn("tokens", count=True, positive=True)]


@dataclass(frozen=True)
class Vector:
    """The unit for elementwise passes."""

    lanes: Annotated[Quantity, MeasuredIn("elements/cycle", count=True, positive=True)]
    efficiency: Annotated[Quantity, MeasuredIn("fraction", positive=True, most=1)]


@dataclass(frozen=True)
class Overlap:
    """Per unit: the part of the shorter of loading and computing that hides behind the longer."""

    tlmm: Annotated[Quantity, MeasuredIn("fraction", most=1)]
    integer: Annotated[Quantity, MeasuredIn("fraction", most=1)]
    vector: Annotated[Quantity, MeasuredIn("fraction", most=1)]


@dataclass(frozen=True)
class Host:
    """The processor's part."""

    token: Annotated[Quantity, MeasuredIn("ms")]


@dataclass(frozen=True)
class Budget:
    """How much of one resource of the device the buffers and lanes take."""

    resource: str
    used: int
    available: int


@dataclass(frozen=True)
class FormulaAccelerator:
    """A complete accelerator: the TLMM engine, the units around it, and how data lies in DRAM."""

    name: str
    tlmm: EngineConstants
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

    def within(self, device: Device, weight_buffer: int) -> FormulaAccelerator:
        """The same with a weight buffer of so many bytes, and no more BRAM than ``device`` has.

        An activation buffer larger than all of them is cut to what they hold.
        """
        room = min(self.storage.activation_buffer.count, device.fabric.bram.count * _BRAM_BYTES)
        return replace(self, storage=replace(
            self.storage, weight_buffer=_exact(self.storage.weight_buffer, weight_buffer),
            activation_buffer=_exact(self.storage.activation_buffer, room)))

    def budget(self, device: Device) -> tuple[Budget, ...]:
        """What the sized parts take of ``device``; the engine's LUT wait for synthesis."""
        fabric = device.fabric
        return (
            Budget("URAM", self.uram, fabric.uram.count),
            Budget("BRAM", self.bram, fabric.bram.count),
            Budget("DSP", -(-self.integer.lanes.count // 2), fabric.dsp.count),
        )

    def layout(self, config: ModelConfig, tokens: int) -> DramLayout:
        """How ``config`` lies in DRAM, and whether ``tokens`` rows of activations stay on chip."""
        widest = max(config.hidden_size, config.intermediate_size)
        activations = tokens * (config.hidden_size + widest) * _SPILLED_BITS // 8
        engine = self.tlmm.parameters()
        return DramLayout(
            weight_bits=engine.index_width / engine.group_size,
            pad_k=engine.pass_length,
            pad_m=engine.columns,
            head_bits=self.storage.head_width.count,
            kv_bits=self.storage.kv_width.count,
            query_rows=self.integer.query_rows.count,
            spill=activations > self.storage.activation_buffer.count,
        )


def _exact(quantity: Quantity, value: int) -> Quantity:
    """``quantity``, but of another value."""
    return replace(quantity, low=value, nominal=value, high=value)
