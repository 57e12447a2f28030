"""What others measured on the same device, and what our power model says about their designs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..descriptions.device import Published
from ..descriptions.dram_layout import DramLayout
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape, load_shape
from .energy import Energy, Powered, Supply, work_energy
from .workload import step

__all__ = ["PublishedComparison", "compare", "replay"]


@dataclass(frozen=True)
class PublishedComparison:
    """A published design with the same model, and ``power`` [W], what our model gives for it.

    ``power`` is None where the DRAM traffic of the design is not known.
    """

    published: Published
    power: Range | None

    def to_json(self) -> dict[str, Any]:
        """The quoted figures, and ``power_model``."""
        return {
            **dataclasses.asdict(self.published),
            "power_model": self.power.to_json("W") if self.power else None,
        }


def compare(
    machines: Mapping[Corner, Powered], model: ModelShape
) -> tuple[PublishedComparison, ...]:
    """The designs published for this model on this device."""
    device = machines[Corner.NOMINAL].device
    return tuple(
        PublishedComparison(published, _power(machines, published))
        for published in device.published
        if load_shape(published.model).config == model.config
    )


def replay(machine: Powered, published: Published) -> Energy:
    """Joules per token of our power model in the published time, with the published traffic.

    This checks the power model apart from the latency model. The arithmetic is the model's; the
    design's cache is taken as empty; its URAM are its own, or where they are not known ours.
    """
    if published.traffic is None:
        raise ValueError(f"The traffic of {published.name} is not known")
    workload = step(load_shape(published.model).config, DramLayout(weight_bits=2), tokens=1)
    ternary = sum(op.count * op.macs for op in workload.operators if op.unit == "tlmm")
    urams = machine.uram if published.uram is None else published.uram.count
    return work_energy(
        Supply(machine.device, urams, machine.corner), 1 / published.tokens_per_second.nominal,
        published.traffic.nominal * 1e6, ternary, workload.total("macs") - ternary,
        workload.total("operations"),
    )


def _power(machines: Mapping[Corner, Powered], published: Published) -> Range | None:
    """Watts of the replay."""
    if published.traffic is None:
        return None
    rate = published.tokens_per_second.nominal
    return Range.of({
        corner: replay(machine, published).total * rate for corner, machine in machines.items()
    })
