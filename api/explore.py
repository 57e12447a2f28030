"""Many accelerators at once: the designs of the Pareto front, and the best one within limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EstimateError
from ..sim.descriptions.accelerator import load_accelerator
from ..sim.descriptions.device import Device, load_device
from ..sim.descriptions.shapes import ModelShape
from ..sim.explore import (
    BEST,
    FORMATS,
    ROUTABLE,
    Found,
    Limits,
    Perplexities,
    Result,
    answer,
    load_perplexities,
    load_synthesized,
    make_spaces,
    search,
)
from ..sim.explore.lut_model import Synthesized
from ..sim.explore.perplexity import MEASURED
from ..sim.formulas.estimate import estimate
from ..sim.report import write_front
from .explore_checks import NO_CHECKS, DesignChecks
from .shapes import Model, find_shapes

__all__ = ["Exploration", "explore"]


@dataclass(frozen=True)
class Exploration:
    """What a search found for ``model``, asked for as ``asked``.

    ``answer`` is the best design in ``best_in`` as a sentence, ``fit_errors`` the largest errors of
    the LUT model, ``checks`` what ``check_designs`` adds.
    """

    asked: str
    model: ModelShape
    devices: tuple[Device, ...]
    hardware: str
    prompt: int
    tokens: int
    result: Result
    perplexities: Perplexities
    fit_errors: dict[str, dict[str, float]]
    answer: str
    best_in: str
    warnings: tuple[str, ...]
    checks: DesignChecks = NO_CHECKS

    @property
    def front(self) -> tuple[Found, ...]:
        """The designs of the Pareto front."""
        return self.result.front

    @property
    def best(self) -> Found | None:
        """The best design within the limits, if there is one."""
        return self.result.best(self.best_in)

    def to_json(self) -> dict[str, Any]:
        """JSON values; docs/reference/json.md has the keys."""
        return {
            "model": self.model.name, "devices": [device.name for device in self.devices],
            "hardware": self.hardware, **self.result.counts,
            "smallest_lut_share": self.result.smallest_share,
            "smallest_watts": self.result.smallest_watts,
            "perplexity_model": self.perplexities.model,
            "perplexity_tokens": self.perplexities.tokens,
            "fit_errors": self.fit_errors, "answer": self.answer, "best_in": self.best_in,
            "best": self.best.to_json() if self.best else None,
            "front": [one.to_json() for one in self.front],
            "published": self._published(),
            **self.checks.to_json(),
        }

    def write_report(self, path: str | Path) -> None:
        """Write the front as an HTML page. Raises ``OutputError`` if it cannot be written."""
        write_front(self.to_json(), Path(path))

    def _published(self) -> list[dict[str, Any]]:
        """What others published of this model on these devices."""
        return [
            {"name": one.name, "tokens_per_second": one.tokens_per_second.nominal,
             "joules_per_token": one.energy.nominal, "watts": one.power.nominal,
             "first_token": one.first_token.nominal if one.first_token else None}
            for device in self.devices for one in device.published
            if one.model in (self.asked, self.model.name)
        ]


def explore(
    model: Model, devices: str | Sequence[str] = "kv260", hardware: str = "tlmm-kv260",
    formats: Sequence[str] = FORMATS, points: int | None = None, prompt: int = 128,
    tokens: int = 128, max_power: float = math.inf, max_lut_share: float = ROUTABLE,
    max_pause: float = math.inf, best: str = "rate", perplexities: str | Path | None = None,
) -> Exploration:
    """Compare accelerators for a model.

    Parameters
    ----------
    model
        A shape's name, a model folder, a .toml file or a ``ModelShape``.
    devices, hardware
        One or more devices, and what the designs share: names, or .toml files.
    formats
        Of the weights: ``ternary``, ``int4-fp8``.
    points
        At least so many designs; None takes a million, or all.
    prompt, tokens
        Tokens of the prompt, and tokens generated.
    max_power, max_lut_share, max_pause
        Watts in prefill and decode, part of the device's LUT, and seconds that a prompt may keep
        another request waiting.
    best
        What the answer names the best in, of ``sim.explore.BEST``.
    perplexities
        A file of ``benchmarks/explored_formats.py``; None takes those of the demo models.

    Raises
    ------
    EstimateError
        A name or a number is wrong, or the model does not fit a device.
    CheckpointError
        There is no such model.
    """
    limits = Limits(max_power, max_lut_share, max_pause)
    _check(limits, best)
    shared = load_accelerator(hardware).formulas
    boards = [load_device(name) for name in ([devices] if isinstance(devices, str) else devices)]
    found = find_shapes([model])
    shape, = found.shapes
    for board in boards:
        # Refuses what does not fit the device: designs without a weight buffer take no URAM.
        estimate(shape, board, shared.within(board, 0), prompt, tokens)
    measured = _perplexities(shape, perplexities)
    synthesized = load_synthesized()
    spaces = make_spaces(boards, shared, synthesized.around, prompt, shape.config.num_layers,
                         points, formats)
    result = search(spaces, shape, shared, synthesized, measured, prompt, tokens, limits)
    sentence = answer(result, limits, best, shape.name, [board.name for board in boards], measured)
    return Exploration(
        shape.name if isinstance(model, ModelShape) else str(model), shape, tuple(boards),
        shared.name, prompt, tokens, result, measured,
        {" ".join(key): fit.errors() for key, fit in synthesized.fits.items()}, sentence, best,
        found.warnings + _of_others(boards, synthesized))


def _check(limits: Limits, best: str) -> None:
    for option, value in (("--max-power", limits.watts), ("--max-lut-share", limits.lut_share),
                          ("--max-pause", limits.pause)):
        if not value > 0:
            raise EstimateError(f"{option} must be above 0, not {value}")
    if best not in BEST:
        raise EstimateError(f"--best must be one of {', '.join(BEST)}, not {best}")


def _perplexities(shape: ModelShape, path: str | Path | None) -> Perplexities:
    """The perplexities of the model itself, or else of the demo model of its kind."""
    known = load_perplexities(Path(path) if path else MEASURED)
    demo = "demo-bitnet" if shape.config.bitlinear else "demo-llama"
    for name in (shape.name, demo):
        if name in known:
            return known[name]
    raise EstimateError(f"{path} has perplexities of {', '.join(known)}, and not of {shape.name}")


def _of_others(devices: Sequence[Device], synthesized: Synthesized) -> tuple[str, ...]:
    """A warning for each device on which nothing was synthesized."""
    return tuple(
        f"LUT are counted as on {' and '.join(synthesized.devices)}; those of {device.name} may be "
        "others." for device in devices if device.name not in synthesized.devices)
