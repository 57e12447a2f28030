"""LUT of a table-lookup engine of any size, fitted to engines that were synthesized.

LUT = (a + b x columns) x tables + c x columns + d

with a and b of each group size: what a table, and each column that reads it, takes; c and d are of
all: accumulators and control. A least-squares fit of the relative errors. Some of the points are
held out of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import EstimateError
from ...hw import TlmmParameters

__all__ = ["GROUPS", "LutModel", "Point", "fit", "load_lut_model"]

_POINTS = Path(__file__).with_name("engines-kv260.toml")
GROUPS = (2, 3, 4)   # tables of groups of 5 become block RAM
_UNKNOWNS = 2 * len(GROUPS) + 2


@dataclass(frozen=True)
class Point:
    """A synthesized engine and its LUT."""

    engine: TlmmParameters
    lut: float
    held_out: bool = False


@dataclass(frozen=True)
class LutModel:
    """Fitted coefficients, and how far they are from the points: relative errors.

    ``left_out`` are the errors at fitted points when each in turn is left out of the fit,
    ``held_out`` those at points that no fit has seen. ``around`` are the LUT of the accelerator's
    other blocks; ``made_by`` are the commands.
    """

    coefficients: NDArray[np.float64]
    fitted: tuple[float, ...]
    left_out: tuple[float, ...]
    held_out: tuple[float, ...]
    around: int = 0
    made_by: str = ""

    def luts(self, engines: Sequence[TlmmParameters]) -> NDArray[np.float64]:
        """LUT of each engine alone. EstimateError for a group size not in ``GROUPS``."""
        return _features(engines) @ self.coefficients


def fit(points: Sequence[Point]) -> LutModel:
    """Fit the points that are not held out.

    Raises
    ------
    EstimateError
        There are too few points to leave one out.
    """
    used = [point for point in points if not point.held_out]
    tests = [point for point in points if point.held_out]
    if len(used) <= _UNKNOWNS:
        raise EstimateError(f"{len(used)} synthesized engines are too few to fit their LUT")
    coefficients = _solve(used)
    left_out = [
        _error(_solve([*used[:index], *used[index + 1:]]), point)
        for index, point in enumerate(used)
    ]
    return LutModel(
        coefficients,
        fitted=tuple(_error(coefficients, point) for point in used),
        left_out=tuple(left_out),
        held_out=tuple(_error(coefficients, point) for point in tests),
    )


def load_lut_model(path: Path = _POINTS) -> LutModel:
    """The model fitted to the points of ``path``.

    Raises
    ------
    EstimateError
        The file cannot be read, or does not hold what it must.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        size = data["max_k"], data["max_m"]
        points = [
            Point(TlmmParameters(row["group"], row["tables"], row["columns"], *size),
                  float(row["lut"]), bool(row.get("held_out", False)))
            for row in data["engine"]
        ]
        around, made_by = int(data["around"]), str(data["made_by"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EstimateError(f"{path} does not hold synthesized engines: {error}") from None
    model = fit(points)
    return LutModel(model.coefficients, model.fitted, model.left_out, model.held_out, around,
                    made_by)


def _features(engines: Sequence[TlmmParameters]) -> NDArray[np.float64]:
    """What LUT are proportional to, [engines, features]."""
    rows = []
    for one in engines:
        if one.group_size not in GROUPS:
            raise EstimateError(f"no engines of groups of {one.group_size} are in the LUT model")
        per_table = [0.0] * (2 * len(GROUPS))
        index = 2 * GROUPS.index(one.group_size)
        per_table[index:index + 2] = one.tables, one.tables * one.columns
        rows.append((*per_table, one.columns, 1))
    return np.array(rows, np.float64)


def _solve(points: Sequence[Point]) -> NDArray[np.float64]:
    """Least squares of the relative errors."""
    luts = np.array([point.lut for point in points])
    scaled = _features([point.engine for point in points]) / luts[:, None]
    return np.linalg.lstsq(scaled, np.ones(len(points)), rcond=None)[0]


def _error(coefficients: NDArray[np.float64], point: Point) -> float:
    """How far the fit is from a point, over the point."""
    return float(_features([point.engine])[0] @ coefficients / point.lut - 1)
