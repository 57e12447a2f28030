"""An accelerator in RTL as the cycle model takes it: every constant with its source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from ...hw.matmul.engine_parameters import TlmmParameters
from ...hw.weights.buffer_planner import plan_buffer, weight_beat_width
from ..descriptions.accelerator import AcceleratorDescription
from ..descriptions.device import Device
from ..descriptions.formula_accelerator import Budget, EngineConstants, Host
from ..descriptions.quantity import Quantity
from ..descriptions.tables import MeasuredIn

__all__ = ["RtlAccelerator", "rtl_accelerator", "weight_buffer_uram"]


@dataclass(frozen=True)
class Clock:
    """Fabric clock."""

    frequency: Annotated[Quantity, MeasuredIn("MHz")]


@dataclass(frozen=True)
class Port:
    """The memory port: all that is read or written goes over it, or over parts of it."""

    word: Annotated[Quantity, MeasuredIn("B", count=True)]
    burst: Annotated[Quantity, MeasuredIn("words", count=True)]
    outstanding: Annotated[Quantity, MeasuredIn("bursts", count=True)]
    latency: Annotated[Quantity, MeasuredIn("ns")]
    ports: Annotated[Quantity, MeasuredIn("ports", count=True)]


@dataclass(frozen=True)
class Integer:
    """Integer dot products that are not ternary: attention, and the LM head."""

    lanes: Annotated[Quantity, MeasuredIn("MAC/cycle", count=True)]
    head_lanes: Annotated[Quantity, MeasuredIn("MAC/cycle", count=True)]


@dataclass(frozen=True)
class Vector:
    """Float32 units for the operators between the matmuls."""

    lanes: Annotated[Quantity, MeasuredIn("elements/cycle", count=True)]


@dataclass(frozen=True)
class StepLimits:
    """What a step may be, and what is kept on the chip meanwhile."""

    tokens: Annotated[Quantity, MeasuredIn("tokens", count=True)]
    weight_beats: Annotated[Quantity, MeasuredIn("beats", count=True)]
    activation_beats: Annotated[Quantity, MeasuredIn("beats", count=True)]


@dataclass(frozen=True)
class RtlAccelerator:
    """A whole accelerator of ``fpga/``, and what is assumed around it."""

    name: str
    tlmm: EngineConstants
    integer: Integer
    vector: Vector
    step: StepLimits
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


def rtl_accelerator(description: AcceleratorDescription, head_bits: int = 8) -> RtlAccelerator:
    """The accelerator in RTL of ``description``, for a head of codes of ``head_bits``.

    Raises
    ------
    EstimateError
        Only its engine is described.
    """
    p, source = description.whole(), description.source

    def rtl(value: int, unit: str, why: str = "") -> Quantity:
        return Quantity(value, value, value, unit, "rtl", f"{source}: {why}" if why else source)

    port = description.port
    if port is None:
        raise ValueError(f"{source}: an accelerator in RTL without a port")
    return RtlAccelerator(
        name=description.name,
        tlmm=EngineConstants.of(p.tlmm, source),
        integer=Integer(
            description.formulas.integer.lanes,
            rtl(8 * p.word_bytes // head_bits, "MAC/cycle",
                f"a word of int{head_bits} codes of the vocabulary")),
        vector=Vector(rtl(p.lanes, "elements/cycle")),
        step=StepLimits(rtl(p.max_tokens, "tokens"), rtl(p.weight_beats, "beats"),
                        rtl(p.activation_beats, "beats")),
        port=Port(rtl(p.word_bytes, "B"), rtl(p.max_burst, "words"),
                  rtl(p.outstanding, "bursts"), port.latency, rtl(p.ports, "ports")),
        clock=Clock(description.formulas.clock.frequency),
        host=description.formulas.host,
    )
