"""An accelerator in RTL as a report describes it: every constant with where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from ...fpga.parameters import AcceleratorParameters
from ...hw.matmul.parameters import TlmmParameters
from ...hw.weights.buffer_planner import plan_buffer, weight_beat_width
from ..descriptions.device import Device
from ..descriptions.hardware import Budget, Host, Tlmm
from ..descriptions.quantity import Quantity
from ..descriptions.tables import Unit

__all__ = ["Accelerator", "describe", "weight_buffer_uram"]


@dataclass(frozen=True)
class Clock:
    """Fabric clock."""

    frequency: Annotated[Quantity, Unit("MHz")]


@dataclass(frozen=True)
class Port:
    """The memory port: all that is read or written goes over it."""

    word: Annotated[Quantity, Unit("B", count=True)]
    burst: Annotated[Quantity, Unit("words", count=True)]
    outstanding: Annotated[Quantity, Unit("bursts", count=True)]
    latency: Annotated[Quantity, Unit("ns")]


@dataclass(frozen=True)
class Integer:
    """Integer dot products that are not ternary: attention, and the LM head."""

    lanes: Annotated[Quantity, Unit("MAC/cycle", count=True)]
    head_lanes: Annotated[Quantity, Unit("MAC/cycle", count=True)]


@dataclass(frozen=True)
class Vector:
    """Float32 units for whatever is between the matmuls."""

    lanes: Annotated[Quantity, Unit("elements/cycle", count=True)]


@dataclass(frozen=True)
class Step:
    """What a step may be, and what is kept on the chip meanwhile."""

    tokens: Annotated[Quantity, Unit("tokens", count=True)]
    weight_beats: Annotated[Quantity, Unit("beats", count=True)]
    activation_beats: Annotated[Quantity, Unit("beats", count=True)]


@dataclass(frozen=True)
class Accelerator:
    """A whole accelerator of ``fpga/``, and what is assumed around it."""

    name: str
    tlmm: Tlmm
    integer: Integer
    vector: Vector
    step: Step
    port: Port
    clock: Clock
    host: Host

    @cached_property
    def macs_per_cycle(self) -> int:
        """Ternary multiply-accumulates per cycle."""
        return self.tlmm.parameters().macs_per_cycle

    def budget(self, device: Device) -> tuple[Budget, ...]:
        """What the weight buffer takes of ``device``.

        docs/explanation/synthesis.md has the rest.
        """
        used = weight_buffer_uram(device, self.tlmm.parameters(), self.step.weight_beats.count)
        return (Budget("URAM", used, device.fabric.uram.count),) if used else ()


def weight_buffer_uram(device: Device, engine: TlmmParameters, beats: int) -> int:
    """URAM blocks of a buffer of ``beats`` beats of weights; 0 on a device that has none."""
    if not device.fabric.uram.count:
        return 0
    return plan_buffer(weight_beat_width(engine), beats, {"uram": 1 << 16}).blocks


def describe(name: str, parameters: AcceleratorParameters, head_bits: int = 8) -> Accelerator:
    """The configuration ``name``, of ``parameters``, for a head of codes of ``head_bits``."""
    source = f"fpga/configurations: {name}"

    def rtl(value: int, unit: str, source: str = source) -> Quantity:
        return Quantity(value, value, value, unit, "rtl", source)

    p, engine = parameters, parameters.tlmm
    return Accelerator(
        name=f"Accelerator {name}",
        tlmm=Tlmm(rtl(engine.group_size, "weights"), rtl(engine.tables, "tables"),
                  rtl(engine.columns, "output columns"), rtl(engine.activation_width, "bit"),
                  rtl(engine.max_k, "inputs"), rtl(engine.max_m, "outputs")),
        integer=Integer(
            rtl(p.word_bytes * p.queries, "MAC/cycle",
                f"{source}: a word of int8 keys or values for each of {p.queries} queries"),
            rtl(8 * p.word_bytes // head_bits, "MAC/cycle",
                f"{source}: a word of int{head_bits} codes of the vocabulary")),
        vector=Vector(rtl(p.lanes, "elements/cycle")),
        step=Step(rtl(p.max_tokens, "tokens"), rtl(p.weight_beats, "beats"),
                  rtl(p.activation_beats, "beats")),
        port=Port(
            rtl(p.word_bytes, "B"), rtl(p.max_burst, "words"), rtl(p.outstanding, "bursts"),
            Quantity(240, 240, 240, "ns", "assumption",
                     "from a read's address to its data: 60 cycles at 250 MHz, as in simulation")),
        clock=Clock(Quantity(
            200, 250, 250, "MHz", "assumption",
            "not placed and routed yet; TeLLMe v2 and bitnet-kv260 close 250 MHz on this part, the "
            "latter's larger build 200")),
        host=Host(rtl(0, "ms", "the accelerator chooses the token and goes on by itself")),
    )
