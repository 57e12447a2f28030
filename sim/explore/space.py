"""The designs that are compared: grids of them, one for each device, format and surroundings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import EstimateError
from ...hw import TlmmParameters
from ...npu import ArrayParameters, Stationary
from ..descriptions.device import Device
from ..descriptions.formula_accelerator import URAM_BYTES, FormulaAccelerator
from .around import Around
from .engines import ArrayEngines, Engines, TlmmEngines
from .lut_model import GROUPS
from .prompt_policies import PromptPolicy, prompt_policies

__all__ = ["FORMATS", "MOST_POINTS", "Design", "Space", "make_spaces"]

FORMATS = ("ternary", "int4-fp8")
_USUAL_POINTS, MOST_POINTS = 1_000_000, 4_000_000       # results take about 100 bytes per point
_LEAST, _LARGEST = 4, 32      # tables and columns, of the engines that have been synthesized
_LARGEST_ARRAY = 16           # rows and lanes
_ARRAY_TOKENS = 64
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
               for form in formats for engines in [_engines(form, one, hardware)]]
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


def _engines(form: str, around: Around, hardware: FormulaAccelerator) -> Engines:
    """All engines for weights in ``form`` that can be built into ``around``."""
    if form == "ternary":
        return TlmmEngines([one for one in _lookups(hardware) if around.takes(one)])
    return ArrayEngines([one for one in _arrays() if around.takes(one)])


def _lookups(hardware: FormulaAccelerator) -> Iterator[TlmmParameters]:
    limits = hardware.tlmm
    sizes = range(_LEAST, _LARGEST + 1)
    for group in GROUPS:
        for tables in sizes:
            for columns in sizes:
                yield TlmmParameters(group, tables, columns, limits.max_k.count,
                                     limits.max_m.count, limits.activation_width.count)


def _arrays() -> Iterator[ArrayParameters]:
    for rows in range(_LEAST, _LARGEST_ARRAY + 1):
        for lanes in (4, 8, 16):
            yield ArrayParameters(Stationary.WEIGHT, rows, lanes, _ARRAY_TOKENS)


def _part(engines: Engines, share: float) -> Engines:
    """About ``share`` of the engines, evenly spread; the last, which is the largest, is there."""
    count = len(engines)
    step = max(1, int(1 / share))
    return engines.some(slice((count - 1) % step, None, step))
