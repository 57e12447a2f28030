"""What engines reach of processors, fitted to the measurements that are not held out.

``python -m trilobite.sim.measurements fit`` writes ``sim/processors/fitted.toml``. A measurement's
seconds are, in logarithms,

    log(launches x start + sum over operators of max(compute / share, memory / share))

and the logarithms of start and shares are sums of effects (``processors.shares``), each with a
normal prior around 0: a maximum a posteriori fit, by Gauss-Newton steps with Huber's weights. Rows
of one source on one processor are no independent measurements: n of them weigh as much as the root
of n. Rows that were read second-hand, and those of an unknown engine, are not fitted to.

How far estimates may be off comes from leaving out: each source in turn, and each device in turn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..descriptions.shapes import load_shape
from ..descriptions.soc import load_soc
from ..processors.costs import ProcessorRequest
from ..processors.engines import Engine, engine_called
from ..processors.rates import choose_processor
from ..processors.shares import BASE, EFFECTS, Effect, effects, evidence
from ..processors.stored_format import stored_format
from .rows import Measurement, measurements

__all__ = ["Case", "Fit", "case_of", "fit", "fitted_cases", "fitted_text", "left_out_errors"]

_NOISE = 0.1            # of one measurement, as a standard deviation of its logarithm
_HUBER = 2.0            # deviations from which a measurement weighs less
_STEPS, _LONGEST, _ENOUGH = 30, 0.7, 1e-5
_COVERED = 0.9          # of measurements within the range
_PARTS = tuple(EFFECTS)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A measurement as the fit sees it: its seconds, and the work that they went into.

    ``work``: seconds of arithmetic at the peak and of memory at the description's bandwidth, of
    each operator, [operators, 2].
    """

    row: Measurement
    engine: Engine | None
    kind: str
    device: str
    seconds: float
    launches: int
    work: Array
    effects: Mapping[str, tuple[Effect, ...]]

    @property
    def phase(self) -> str:
        """``prefill`` or ``decode``."""
        return "decode" if self.row.phase == "decode" else "prefill"

    @property
    def group(self) -> tuple[str, str, str]:
        """What measurements have in common that are not independent."""
        return self.row.source, self.device, self.phase


@dataclass(frozen=True)
class Fit:
    """Effects by what they are on, and the engines that were seen on each processor."""

    effects: Mapping[str, Mapping[Effect, float]]
    seen: Mapping[str, list[str]]

    def seconds(self, case: Case) -> float:
        """What is estimated for ``case``."""
        def value(part: str) -> float:
            known = self.effects[part]
            return BASE[part][case.kind] * math.exp(
                sum(known.get(effect, 0.0) for effect in case.effects[part]))

        shares = np.array([value("compute"), value("bandwidth")])
        return float(1e-6 * case.launches * value("start")
                     + (case.work / shares).max(axis=1).sum())

    def error(self, case: Case) -> float:
        """Logarithm of estimated over measured seconds."""
        return math.log(self.seconds(case) / case.seconds)


def case_of(row: Measurement) -> Case:
    """``row``, which is one of seconds, as the fit sees it."""
    soc, stored = load_soc(row.device), stored_format(row.format)
    processor, engine = choose_processor(soc, row.processor), engine_called(row.engine)
    prompt = row.prompt or row.context
    request = ProcessorRequest(soc, processor, load_shape(row.model), stored, "f16", prompt, 2,
                               engine)
    decodes = row.phase == "decode"
    operators = request.operators(1, row.context) if decodes else request.operators(prompt, 0)
    peak, bandwidth = 1e12 * request.rate.peak.nominal, 1e9 * processor.bandwidth.nominal
    seconds = {"decode": 1 / row.value, "prefill": prompt / row.value, "first-token": row.value}
    return Case(
        row, engine, processor.kind, f"{soc.name}, {processor.name}", seconds[row.phase],
        sum(operator.count for operator in operators),
        np.array([(2 * one.count * one.macs / peak, one.count * one.traffic.total / bandwidth)
                  for one in operators]),
        {part: tuple(effects(part, soc, processor, engine, stored)) for part in _PARTS})


def fitted_cases() -> list[Case]:
    """The measurements that constants are fitted to."""
    return [case_of(row) for row in measurements()
            if row.phase != "power" and not row.is_held_out and not row.second_hand
            and engine_called(row.engine)]


def fit(cases: Sequence[Case]) -> Fit:
    """The most probable effects, given ``cases``."""
    system = _System(cases)
    values = np.zeros(len(system.index))
    for _ in range(_STEPS):
        step = system.step(values)
        values = values + step
        if np.abs(step).max(initial=0.0) < _ENOUGH:
            break
    found: dict[str, dict[Effect, float]] = {part: {} for part in _PARTS}
    for (part, effect), position in system.index.items():
        found[part][effect] = float(values[position])
    seen: dict[str, list[str]] = {}
    for case in cases:
        names = seen.setdefault(case.device, [])
        if case.engine is not None and case.engine.name not in names:
            names.append(case.engine.name)
    return Fit(found, seen)


class _System:
    """The equations of a Gauss-Newton step."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.index: dict[tuple[str, Effect], int] = {}
        for case in cases:
            for part in _PARTS:
                for effect in case.effects[part]:
                    self.index.setdefault((part, effect), len(self.index))
        self.priors = np.array([EFFECTS[part][which] ** -2 for part, (which, _) in self.index])
        rows, longest = len(cases), max(len(case.work) for case in cases)
        self.has = {part: np.zeros((rows, len(self.index))) for part in _PARTS}
        self.work = np.zeros((rows, longest, 2))
        for position, case in enumerate(cases):
            self.work[position, :len(case.work)] = case.work
            for part in _PARTS:
                for effect in case.effects[part]:
                    self.has[part][position, self.index[part, effect]] = 1
        self.base = {part: np.log([BASE[part][case.kind] for case in cases]) for part in _PARTS}
        self.launches = 1e-6 * np.array([case.launches for case in cases])
        self.measured = np.log([case.seconds for case in cases])
        together = Counter(case.group for case in cases)
        self.weights = np.array([together[case.group] ** -0.5 for case in cases]) / _NOISE ** 2

    def step(self, values: Array) -> Array:
        """What is added to ``values``."""
        at = {part: np.exp(self.base[part] + self.has[part] @ values) for part in _PARTS}
        starts = self.launches * at["start"]
        compute = self.work[:, :, 0] / at["compute"][:, None]
        memory = self.work[:, :, 1] / at["bandwidth"][:, None]
        total = starts + np.maximum(compute, memory).sum(axis=1)
        slopes = {"start": starts, "compute": -(compute * (compute > memory)).sum(axis=1),
                  "bandwidth": -(memory * (memory >= compute)).sum(axis=1)}
        jacobian = sum(self.has[part] * (slopes[part] / total)[:, None] for part in _PARTS)
        off = self.measured - np.log(total)
        deviations = np.abs(off) / (_HUBER * _NOISE)
        weighted = (jacobian * (self.weights / np.maximum(deviations, 1))[:, None]).T
        step = np.linalg.solve(weighted @ jacobian + np.diag(self.priors),
                               weighted @ off - self.priors * values)
        return np.clip(step, -_LONGEST, _LONGEST)


def left_out_errors(cases: Sequence[Case], group: Callable[[Case], str],
                    ) -> list[tuple[Case, str, float]]:
    """Each case, the evidence and the error of a fit that has nothing of its ``group``."""
    found = []
    for name in sorted({group(case) for case in cases}):
        without = fit([case for case in cases if group(case) != name])
        found += [(case, evidence(case.device, case.engine, without.seen), without.error(case))
                  for case in cases if group(case) == name]
    return found


def fitted_text() -> str:
    """What ``sim/processors/fitted.toml`` holds."""
    cases = fitted_cases()
    found = fit(cases)
    lines = ["# Written by `python -m trilobite.sim.measurements fit`: logarithms of effects,",
             f"# fitted to {len(cases)} rows of sim/measurements/rows.csv that are not held out.",
             "",
             "# Factors either way that hold 90 % of rows left out: has the processor other rows?",
             *(f"doubt.{known} = {{ prefill = {factors['prefill']:.2f}, "
               f"decode = {factors['decode']:.2f} }}"
               for known, factors in _doubts(cases).items())]
    for part in _PARTS:
        for which in EFFECTS[part]:
            some = {what: value for (kind, what), value in found.effects[part].items()
                    if kind == which}
            if some:
                lines += ["", f'[{part}."{which}"]',
                          *(f'"{what}" = {value:.3f}' for what, value in sorted(some.items()))]
    lines += ["", "# Engines with rows, of each processor.", "[seen]",
              *(f'"{device}" = {sorted(names)}'.replace("'", '"')
                for device, names in sorted(found.seen.items()))]
    return "\n".join(lines) + "\n"


def _doubts(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """The factor for each phase, of processors that were measured and of others."""
    errors = [*left_out_errors(cases, lambda case: case.row.source),
              *left_out_errors(cases, lambda case: case.row.device)]
    return {known: {phase: math.exp(_quantile(
        [(case.group, abs(error)) for case, had, error in errors
         if case.phase == phase and (had == "none") == (known == "unmeasured")]))
        for phase in ("prefill", "decode")} for known in ("unmeasured", "measured")}


def _quantile(errors: Sequence[tuple[object, float]]) -> float:
    """The error that 90 % are not above, each group counted once."""
    rows = Counter(group for group, _ in errors)
    ordered = sorted(errors, key=lambda one: one[1])
    weights = np.cumsum([1 / rows[group] for group, _ in ordered])
    return ordered[int(np.searchsorted(weights, _COVERED * weights[-1]))][1]
