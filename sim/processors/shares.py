"""What an engine reaches of a processor: shares of its bandwidth and of its peak, and launches.

A share is a product of effects: of the kind of processor, of the engine, of the engine on a family
of processors, of the device, of the class of the weights, and of that class in the engine.
``fitted.toml`` has their logarithms, which ``sim/measurements/fit.py`` fits to published
measurements that are not held out; an effect that no measurement speaks of is 0, so a processor or
an engine of which nothing is known has the mean of its kind.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..descriptions.soc import Processor, Soc
from .engines import Engine
from .stored_format import StoredFormat

__all__ = ["BASE", "EFFECTS", "Effect", "Shares", "effects", "evidence", "fitted_file",
           "shares_of"]

Effect = tuple[str, str]   # which effect, and of what

# Where all effects are 0: share of the bandwidth that the processor reaches by its description,
# share of the peak, and microseconds of a launch.
BASE: Mapping[str, Mapping[str, float]] = {
    "bandwidth": {"cpu": 1.0, "gpu": 1.0, "npu": 1.0},
    "compute": {"cpu": 0.2, "gpu": 0.4, "npu": 0.1},
    "start": {"cpu": 5.0, "gpu": 8.0, "npu": 15.0},
}
# How much each effect may differ from none: standard deviations of logarithms, chosen by leaving
# out one source or one device at a time of those that are not held out.
EFFECTS: Mapping[str, Mapping[str, float]] = {
    "bandwidth": {"kind": 0.1, "engine": 0.05, "engine on family": 0.1, "device": 0.05,
                  "class": 0.1},
    "compute": {"kind": 0.5, "engine": 0.5, "engine on family": 0.5, "device": 0.5,
                "class": 0.3, "class in engine": 0.3},
    "start": {"kind": 0.15, "engine": 0.1, "device": 0.25},
}


@dataclass(frozen=True)
class Shares:
    """Of one engine, format and processor.

    ``bandwidth`` and ``compute``: fractions of what the description gives; ``start``: seconds of a
    launch. ``doubt``: by phase, ``prefill`` or ``decode``, the factor either way that 90 % of
    measurements lie within. ``evidence``: what the fit knew, as ``evidence`` says.
    """

    bandwidth: float
    compute: float
    start: float
    doubt: Mapping[str, float]
    evidence: str


def fitted_file() -> Path:
    """Where the effects are."""
    return Path(__file__).with_name("fitted.toml")


def effects(part: str, soc: Soc, processor: Processor, engine: Engine | None,
            stored: StoredFormat) -> Iterator[Effect]:
    """The effects on one of ``EFFECTS`` that a case has."""
    kind, weights = processor.kind, stored.weight_class
    family = f"{kind} {processor.family}"
    found = {"kind": kind, "device": f"{soc.name}, {processor.name}", "class": f"{kind} {weights}"}
    if engine is not None:
        found |= {"engine": f"{kind} {engine.name}",
                  "class in engine": f"{kind} {engine.name} {weights}"}
        if processor.family:
            found["engine on family"] = f"{family} {engine.name}"
    return ((which, found[which]) for which in EFFECTS[part] if which in found)


def evidence(device: str, engine: Engine | None, seen: Mapping[str, object]) -> str:
    """What was measured: ``engine`` on this processor, the ``processor`` by others, or ``none``.

    ``seen``: for each processor, "device, name", the engines of which the fit had rows.
    """
    rows = seen.get(device)
    if not isinstance(rows, list) or not rows:
        return "none"
    return "engine" if engine is not None and engine.name in rows else "processor"


def shares_of(soc: Soc, processor: Processor, engine: Engine | None,
              stored: StoredFormat) -> Shares:
    """What ``engine`` (None: one of which nothing is known) reaches with ``stored`` there."""
    fitted = _fitted()

    def value(part: str) -> float:
        known = fitted[part]
        return BASE[part][processor.kind] * math.exp(sum(
            known.get(which, {}).get(what, 0.0)
            for which, what in effects(part, soc, processor, engine, stored)))

    known = evidence(f"{soc.name}, {processor.name}", engine, fitted["seen"])
    return Shares(value("bandwidth"), min(value("compute"), 1.0),
                  1e-6 * value("start"),
                  fitted["doubt"]["unmeasured" if known == "none" else "measured"], known)


@cache
def _fitted() -> dict[str, dict[str, dict[str, float]]]:
    return tomllib.loads(fitted_file().read_text(encoding="utf-8"))
