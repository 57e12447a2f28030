"""The designs that are compared: grids of them, one for each device, format and surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import EstimateError
from ..descriptions.device import Device
from ..descriptions.formula_accelerator import URAM_BYTES, FormulaAccelerator
from .around import Around
from .engines import ENGINES, Engines
from .prompt_policies import PromptPolicy, prompt_policies

__all__ = ["FORMATS", "MOST_POINTS", "Design", "Space", "make_spaces"]

FORMATS = tuple(ENGINES)
_USUAL_POINTS, MOST_POINTS = 1_000_000, 4_000_000       # results take about 100 bytes per point
_LOWEST_MHZ, _HIGHEST_MHZ = 100.0, 250.0
_CLOCKS = (7, 13, 16, 31)     # so many between the two: steps of 25, 12.5, 10 and 5 MHz
_URAMS = (0, 4, 8, 16, 24, 32, 40, 48)
_KV_BITS = (8, 4)


@dataclass(frozen=True)
class Design:
    """One point: where, what weights, the engine's sizes, what is around it, and how it is used."""

    device: str
    format: str
    engine: dict[str, int]
    lanes: int
    queries: int
    mhz: float
    urams: int
    policy: str
    kv_bits: int

    @property
    def weight_buffer(self) -> int:
        """Bytes of the weight buffer."""
        return self.urams * URAM_BYTES


@dataclass(frozen=True)
class Space:
    """A grid of designs. Results are arrays of ``shape``; ``design`` names what stands where."""

    device: Device
    around: Around
    engines: Engines
    mhz: tuple[float, ...]
    urams: tuple[int, ...]
    policies: tuple[PromptPolicy, ...]
    kv_bits: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Lengths of the axes: engine, clock, URAM, policy, cache width."""
        return (len(self.engines), len(self.mhz), len(self.urams), len(self.policies),
                len(self.kv_bits))

    @property
    def size(self) -> int:
        """How many designs there are."""
        return math.prod(self.shape)

    def design(self, engine: int, clock: int, uram: int, policy: int, kv: int) -> Design:
        """The design at these positions of the axes."""
        return Design(
            self.device.name, self.engines.format, self.engines.describe(engine),
            self.around.lanes, self.around.queries, self.mhz[clock], self.urams[uram],
            self.policies[policy].name, self.kv_bits[kv],
        )


def make_spaces(
    devices: Sequence[Device], hardware: FormulaAccelerator, around: Sequence[Around], prompt: int,
    layers: int, points: int | None, formats: Sequence[str] = FORMATS,
) -> list[Space]:
    """Grids of at least ``points`` designs in all; None: a million, or all there are.

    ``hardware`` says what else an accelerator has. The URAM of the weight buffer stay within each
    device. If ``points`` ask for more designs than there are engines, all engines are taken and the
    clocks become finer; otherwise engines are taken at equal distances.

    Raises
    ------
    EstimateError
        ``points`` is below 1, above ``MOST_POINTS`` or more than the finest grid has, or a format
        is unknown.
    """
    if points is not None and not 1 <= points <= MOST_POINTS:
        raise EstimateError(f"--points must be 1 to {MOST_POINTS:,}, not {points:,}")
    unknown = [form for form in formats if form not in FORMATS]
    if unknown or not formats:
        raise EstimateError(
            f"--format must be one of {', '.join(FORMATS)}, not {', '.join(unknown)}")
    policies = prompt_policies(prompt, layers)
    choices = [(device, one, engines) for device in devices for one in around
               for form in formats
               for engines in [ENGINES[form].that_fit(one, hardware)]]
    weights = [len(engines) * _urams(device) * len(policies) * len(_KV_BITS)
               for device, _, engines in choices]
    most = _CLOCKS[-1] * sum(weights)
    points = min(_USUAL_POINTS, most) if points is None else points
    clocks = next((count for count in _CLOCKS if count * sum(weights) >= points), None)
    if clocks is None:
        raise EstimateError(f"--points {points:,} are more than the {most:,} that there are for "
                            "these devices, formats and this prompt")
    share = min(1.0, points / (sum(weights) * clocks))
    mhz = tuple(float(one) for one in np.linspace(_LOWEST_MHZ, _HIGHEST_MHZ, clocks))
    return [
        Space(device, one, _part(engines, share), mhz, _URAMS[:_urams(device)], policies, _KV_BITS)
        for device, one, engines in choices
    ]


def _urams(device: Device) -> int:
    """How many of ``_URAMS`` the device has."""
    return sum(number <= device.fabric.uram.count for number in _URAMS)


def _part(engines: Engines, share: float) -> Engines:
    """About ``share`` of the engines, evenly spread; the last, which is the largest, is there."""
    count = len(engines)
    step = max(1, int(1 / share))
    return engines.some(slice((count - 1) % step, None, step))
