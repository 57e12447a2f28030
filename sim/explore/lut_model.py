"""LUT and DSP of an engine of any size, fitted to engines that were synthesized.

    table lookup:  LUT = (a + b x columns) x tables + c x columns + d
    INT4 x FP8:    LUT = (a + b x lanes) x rows + c x lanes + d;  DSP the same

with a and b of each group size for table lookup: what a table, and each column that reads it,
takes; c and d are of all: accumulators and control. Least-squares fits of the relative errors.
Some of the points are held out of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import EstimateError
from ...hw import TlmmParameters
from ...npu import ArrayParameters, Stationary
from ...tools.files import read_text_bounded
from ..descriptions.toml_text import parse_toml
from .around import Around
from .engines import Engine, kind_of

__all__ = ["Point", "ResourceFit", "Synthesized", "fit", "load_synthesized"]

_POINTS = Path(__file__).with_name("engines-kv260.toml")
_MOST = 1e9   # of a resource: no device has so much


@dataclass(frozen=True)
class Point:
    """A synthesized engine, and how much of a resource it takes."""

    engine: Engine
    amount: float
    held_out: bool = False


@dataclass(frozen=True)
class ResourceFit:
    """Fitted coefficients, and how far they are from the points: relative errors.

    ``left_out`` are the errors at fitted points when each in turn is left out of the fit,
    ``held_out`` those at points that no fit has seen.
    """

    coefficients: NDArray[np.float64]
    fitted: tuple[float, ...]
    left_out: tuple[float, ...]
    held_out: tuple[float, ...]

    def amounts(self, engines: Sequence[Engine]) -> NDArray[np.float64]:
        """What each engine alone takes; EstimateError for a group size not in ``GROUPS``."""
        return _features(engines) @ self.coefficients

    def errors(self) -> dict[str, float]:
        """The largest errors in magnitude, by how they were found."""
        return {name: max(map(abs, getattr(self, name)))
                for name in ("fitted", "left_out", "held_out")}


@dataclass(frozen=True)
class Synthesized:
    """What was synthesized: fits by (format of weights, resource), and what is around an engine.

    ``devices`` are those whose LUT are counted like this; ``made_by`` are the commands.
    """

    fits: dict[tuple[str, str], ResourceFit]
    around: tuple[Around, ...]
    devices: tuple[str, ...]
    made_by: str


def fit(points: Sequence[Point]) -> ResourceFit:
    """Fit the points that are not held out.

    Raises
    ------
    EstimateError
        There are too few points to leave one out.
    """
    used = [point for point in points if not point.held_out]
    tests = [point for point in points if point.held_out]
    if not used or len(used) <= _features([used[0].engine]).shape[1]:
        raise EstimateError(f"{len(used)} synthesized engines are too few to fit what they take")
    coefficients = _solve(used)
    left_out = [
        _error(_solve([*used[:index], *used[index + 1:]]), point)
        for index, point in enumerate(used)
    ]
    return ResourceFit(
        coefficients,
        fitted=tuple(_error(coefficients, point) for point in used),
        left_out=tuple(left_out),
        held_out=tuple(_error(coefficients, point) for point in tests),
    )


def load_synthesized(path: Path = _POINTS) -> Synthesized:
    """What ``path`` says was synthesized, and the fits to it.

    Raises
    ------
    EstimateError
        The file cannot be read, or does not hold what it must.
    """
    text = read_text_bounded(path, 1 << 20, EstimateError)
    try:
        data = parse_toml(text, str(path))
        size = data["max_k"], data["max_m"]
        engines = [
            (TlmmParameters(row["group"], row["tables"], row["columns"], *size), row)
            for row in data["engine"]
        ]
        arrays = [
            (ArrayParameters(Stationary.WEIGHT, row["rows"], row["lanes"], data["array_tokens"]),
             row) for row in data["array"]
        ]
        points = {
            (form, resource): [
                Point(engine, _amount(row[resource]), bool(row.get("held_out", False)))
                for engine, row in rows
            ] for form, resource, rows in (
                ("ternary", "lut", engines), ("int4-fp8", "lut", arrays),
                ("int4-fp8", "dsp", arrays))
        }
        around = tuple(Around.read(data["around"]))
        devices, made_by = tuple(map(str, data["devices"])), str(data["made_by"])
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise EstimateError(f"{path} does not hold synthesized engines: {error}") from None
    return Synthesized({key: fit(of) for key, of in points.items()}, around, devices, made_by)


def _amount(value: Any) -> float:
    """How much of a resource an engine takes; errors are relative to it."""
    if not 0 < (amount := float(value)) < _MOST:
        raise ValueError(f"an engine takes {amount} of a resource")
    return amount


def _features(engines: Sequence[Engine]) -> NDArray[np.float64]:
    """What a resource is proportional to, [engines, features]."""
    return np.array([kind_of(one).features(one) for one in engines], np.float64)


def _solve(points: Sequence[Point]) -> NDArray[np.float64]:
    """Least squares of the relative errors."""
    amounts = np.array([point.amount for point in points])
    scaled = _features([point.engine for point in points]) / amounts[:, None]
    return np.linalg.lstsq(scaled, np.ones(len(points)), rcond=None)[0]


def _error(coefficients: NDArray[np.float64], point: Point) -> float:
    """How far the fit is from a point, over the point."""
    return float(_features([point.engine])[0] @ coefficients / point.amount - 1)
