"""The result of an estimate, and the JSON that ``--json`` prints (docs/reference/report.md)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..descriptions.device import Device
from ..descriptions.quantity import Quantity, Range
from ..descriptions.shapes import ModelShape
from ..events import Timeline
from .cost_model import AcceleratorCosts, EstimatedAccelerator
from .cycle_source import CycleSource
from .phase_results import PhaseEstimate
from .published import PublishedComparison

__all__ = ["ContextPoint", "Estimate", "RequestEstimate"]


@dataclass(frozen=True)
class ContextPoint:
    """Decode rate with ``context`` positions in the cache."""

    context: int
    rate: Range


@dataclass(frozen=True)
class RequestEstimate:
    """What is reported of a request on any device.

    ``first_token`` [s]; ``rate`` [token/s], ``per_token`` [s], ``decode_joules`` [J/token] and
    ``power`` [W]: means over the tokens after the first, as the context grows; ``request_joules``
    [J]: the prompt and all tokens. ``decode`` is the step in the middle of the generation.
    """

    model: ModelShape
    prompt: int
    tokens: int
    first_token: Range
    rate: Range
    per_token: Range
    decode_joules: Range
    request_joules: Range
    power: Range
    weight_bytes: int
    kv_bytes_per_position: int
    prefill: PhaseEstimate
    decode: PhaseEstimate
    curve: tuple[ContextPoint, ...]

    @property
    def device_name(self) -> str:
        """What the device is called."""
        raise NotImplementedError

    @property
    def hardware_name(self) -> str:
        """What computes on it."""
        raise NotImplementedError

    @property
    def host_kind(self) -> str | None:
        """How the time of the host was obtained; None where no host takes part."""
        raise NotImplementedError

    @property
    def clock(self) -> Quantity | None:
        """The clock of the accelerator; None where none is described."""
        raise NotImplementedError

    @property
    def energy_kinds(self) -> dict[str, str]:
        """How the constant behind each part of the energy was obtained."""
        raise NotImplementedError

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """The results with their units; docs/reference/report.md says what each key means."""
        return {
            "model": {
                "name": self.model.name, "source": self.model.source,
                "parameters": self.model.parameters,
                "config": dataclasses.asdict(self.model.config),
            },
            "prompt": self.prompt, "tokens": self.tokens,
            "first_token": self.first_token.to_json("s"),
            "rate": self.rate.to_json("token/s"),
            "per_token": self.per_token.to_json("s/token"),
            "decode_energy": self.decode_joules.to_json("J/token"),
            "request_energy": self.request_joules.to_json("J"),
            "power": self.power.to_json("W"),
            "weight_bytes": self.weight_bytes,
            "kv_bytes_per_position": self.kv_bytes_per_position,
            "prefill": self.prefill.to_json(),
            "decode": self.decode.to_json(),
            "context": [
                {"context": point.context, "rate": point.rate.to_json("token/s")}
                for point in self.curve
            ],
        }


@dataclass(frozen=True)
class Estimate(RequestEstimate):
    """Everything that is reported about one model on one accelerator and device.

    ``costs`` is the cost model that it was assembled of, which two equal estimates need not share.
    """

    device: Device
    hardware: EstimatedAccelerator
    cycles: CycleSource
    comparisons: tuple[PublishedComparison, ...]
    costs: AcceleratorCosts = field(repr=False, compare=False)

    @property
    def device_name(self) -> str:
        """What the device is called."""
        return self.device.name

    @property
    def hardware_name(self) -> str:
        """What the accelerator is called."""
        return self.hardware.name

    @property
    def host_kind(self) -> str:
        """How the time of the host was obtained."""
        return self.hardware.host.token.kind

    @property
    def clock(self) -> Quantity:
        """The clock of the accelerator."""
        return self.hardware.clock.frequency

    @property
    def energy_kinds(self) -> dict[str, str]:
        """How the constant behind each part of the energy was obtained."""
        power = self.device.power
        return {"static": power.idle.kind, "active": power.active.kind,
                "compute": power.ternary_mac.kind, "dram": self.device.dram.energy.kind}

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        return self.costs.timelines()

    def to_json(self) -> dict[str, Any]:
        """All of it, with units; the keys are documented in docs/reference/report.md."""
        return super().to_json() | {
            "cycles": self.cycles.to_json(),
            "published": [comparison.to_json() for comparison in self.comparisons],
            "device": dataclasses.asdict(self.device),
            "hardware": dataclasses.asdict(self.hardware),
        }
