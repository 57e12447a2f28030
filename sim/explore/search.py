"""The designs within limits that no other is better than, over all spaces."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hw import TlmmParameters
from ...npu import ArrayParameters
from ..descriptions.formula_accelerator import FormulaAccelerator
from ..descriptions.shapes import ModelShape
from .lut_model import Synthesized
from .model import Costs, space_costs
from .pareto import grid_front, pareto_front
from .perplexity import Perplexities
from .space import Design, Space

__all__ = ["BEST", "ROUTABLE", "Found", "Limits", "Result", "search"]

ROUTABLE = 0.85   # of the LUT; published designs on the KV260 were routed with 84 and 87 % of them
# What a design can be best in: name, the figure, and whether more is better.
BEST = {
    "rate": ("tokens_per_second", True), "first-token": ("first_token", False),
    "energy": ("joules_per_token", False), "lut": ("lut", False),
    "perplexity": ("perplexity", False),
}
_ALIKE = 0.05   # designs that differ by no more in every objective are shown as one
_OBJECTIVES = ("perplexity", "first_token", "tokens_per_second", "joules_per_token", "lut")


@dataclass(frozen=True)
class Limits:
    """What a design must keep: mean watts, part of the device's LUT, seconds of ``Costs.pause``."""

    watts: float = math.inf
    lut_share: float = ROUTABLE
    pause: float = math.inf


@dataclass(frozen=True)
class Found:
    """A design with its costs; ``watts`` and ``pause`` as in ``Costs``, ``dsp`` of the device."""

    design: Design
    engine: TlmmParameters | ArrayParameters
    perplexity: float
    first_token: float
    tokens_per_second: float
    joules_per_token: float
    lut: float
    lut_share: float
    dsp: float
    watts: float
    pause: float

    def to_json(self) -> dict[str, Any]:
        """The design's fields and its costs, by name."""
        values = dataclasses.asdict(self)
        del values["engine"]
        return values.pop("design") | values


@dataclass(frozen=True)
class Result:
    """The front, best rate first, and how many of all designs keep which limit."""

    front: tuple[Found, ...]
    counts: dict[str, int]
    smallest_share: float
    smallest_watts: float
    smallest_dsp: float   # as a share of the device's

    def best(self, what: str) -> Found | None:
        """The best of the front in one of ``BEST``; among equals the faster one."""
        name, more = BEST[what]
        sign = -1 if more else 1
        return min(self.front, key=lambda one: (
            sign * getattr(one, name), -one.tokens_per_second, one.first_token), default=None)


def search(
    spaces: Sequence[Space], model: ModelShape, hardware: FormulaAccelerator,
    synthesized: Synthesized, perplexities: Perplexities, prompt: int, tokens: int, limits: Limits,
) -> Result:
    """Evaluate every design of ``spaces``; the Pareto front of those within ``limits``.

    A design that takes more DSP than its device has is not counted as within the LUT; an activation
    buffer larger than the device's BRAM is cut to them. Of designs that are within ``_ALIKE`` of
    one another in everything, one is taken: the best in an objective first, then the faster ones.

    Raises
    ------
    EstimateError
        See ``space_costs``; or a perplexity was not measured.
    """
    counts = dict.fromkeys(("points", "within_power", "within_lut", "within_pause",
                            "within_all"), 0)
    shares, watts, multipliers, found = [], [], [], []
    for space in spaces:
        grid = _Evaluated(space, model, hardware, synthesized, perplexities, prompt, tokens)
        keeps = grid.keeps(limits)
        for name, kept in keeps.items():
            counts[name] += int(np.broadcast_to(kept, space.shape).sum())
        counts["points"] += space.size
        shares.append(float(grid.share.min()))
        watts.append(float(grid.costs.watts.min()))
        multipliers.append(float(grid.dsp.min()) / space.device.fabric.dsp.count)
        found += grid.front(np.broadcast_to(keeps["within_all"], space.shape))
    return Result(_merged(found), counts, min(shares), min(watts), min(multipliers))


class _Evaluated:
    """All figures of the designs of one space."""

    def __init__(
        self, space: Space, model: ModelShape, hardware: FormulaAccelerator,
        synthesized: Synthesized, perplexities: Perplexities, prompt: int, tokens: int,
    ) -> None:
        self.space = space
        hardware = hardware.within(space.device, hardware.storage.weight_buffer.count)
        form, engines = space.engines.format, space.engines.one_by_one
        fits = synthesized.fits
        fabric = space.device.fabric
        self.lut = self._engines(fits[form, "lut"].amounts(engines)) + space.around.lut
        self.share = self.lut / fabric.lut.count
        self.costs: Costs = space_costs(space, model, hardware, prompt, tokens, self.lut)
        dsp = fits.get((form, "dsp"))   # none: table lookup takes no DSP
        self.dsp = self._engines(dsp.amounts(engines) if dsp else np.zeros(len(engines)))
        self.dsp = self.dsp + space.around.dsp
        self.fits = np.round(self.dsp) <= fabric.dsp.count
        self.perplexity = np.array([perplexities.of(form, bits) for bits in space.kv_bits])

    def keeps(self, limits: Limits) -> dict[str, NDArray[np.bool_]]:
        """Which designs keep each limit, and all."""
        power = self.costs.watts <= limits.watts
        lut = (self.share <= limits.lut_share) & self.fits
        pause = self.costs.pause <= limits.pause
        return {"within_power": power, "within_lut": lut, "within_pause": pause,
                "within_all": power & lut & pause}

    def front(self, allowed: NDArray[np.bool_]) -> list[Found]:
        """The front of this space alone."""
        objectives = [self.perplexity, self.costs.first_token, -self.costs.rate,
                      self.costs.joules, self.lut]
        return [self._found(tuple(map(int, np.unravel_index(position, self.space.shape))))
                for position in grid_front(objectives, allowed)]

    def _engines(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values.reshape(-1, 1, 1, 1, 1)

    def _found(self, index: tuple[int, ...]) -> Found:
        def at(values: NDArray[np.float64]) -> float:
            return float(np.broadcast_to(values, self.space.shape)[index])

        costs = self.costs
        return Found(
            self.space.design(*index), self.space.engines.one_by_one[index[0]],
            at(self.perplexity), at(costs.first_token), at(costs.rate), at(costs.joules),
            at(self.lut), at(self.share), at(self.dsp), at(costs.watts), at(costs.pause))


def _merged(found: Sequence[Found]) -> tuple[Found, ...]:
    """The front of several fronts, best rate first."""
    shortest: dict[tuple[str | float, ...], Found] = {}
    for one in sorted(found, key=lambda one: one.pause):
        shortest.setdefault((one.design.device, *_objectives(one)), one)
    rows = list(shortest.values())
    values = np.array([_objectives(one) for one in rows]).reshape(-1, len(_OBJECTIVES))
    front = sorted((rows[position] for position in pareto_front(values)),
                   key=lambda one: (-one.tokens_per_second, one.first_token))
    return _thinned(front)


def _thinned(front: Sequence[Found]) -> tuple[Found, ...]:
    """One of those that are alike, in the order of ``front``; the best in anything stay."""
    if not front:
        return ()
    values = np.array([_objectives(one) for one in front])
    kept: list[int] = []
    for position in [*dict.fromkeys(map(int, values.argmin(axis=0))), *range(len(front))]:
        device = front[position].design.device
        others = [index for index in kept if front[index].design.device == device]
        far = np.abs(values[others] / values[position] - 1).max(axis=1) if others else np.ones(1)
        if (far > _ALIKE).all():
            kept.append(position)
    return tuple(front[position] for position in sorted(kept))


def _objectives(found: Found) -> tuple[float, ...]:
    """The objectives of a design, each so that a smaller value is better."""
    values = {name: getattr(found, name) for name in _OBJECTIVES}
    values["tokens_per_second"] *= -1
    return tuple(values.values())
