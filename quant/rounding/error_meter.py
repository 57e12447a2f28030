"""How far a quantized weight is from the weight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["ErrorMeter", "Errors", "errors_of", "six_digits"]


class Errors(NamedTuple):
    """Sums over a block: ``squares`` of the weights, and of their errors; the ``largest`` error."""

    squares: float
    error_squares: float
    largest: float


def errors_of(weight: np.ndarray, quantized: np.ndarray) -> Errors:
    """The errors of a block; both arrays are float32 and of one shape."""
    error = quantized - weight
    return Errors(_squares(weight), _squares(error), float(np.abs(error).max()))


def _squares(values: np.ndarray) -> float:
    """Their sum in float64; in place, which is twice as fast as a ``dtype`` for the squares."""
    wide = values.astype(np.float64)
    return float(np.square(wide, out=wide).sum())


class ErrorMeter:
    """Adds up errors over blocks of a weight."""

    def __init__(self) -> None:
        self._squares = self._error_squares = self._largest = 0.0

    def add(self, errors: Errors) -> None:
        """Count a block."""
        self._squares += errors.squares
        self._error_squares += errors.error_squares
        self._largest = max(self._largest, errors.largest)

    @property
    def nmse(self) -> float:
        """Sum of squared errors over sum of squared weights, in six digits; 0 for zeros."""
        return six_digits(self._error_squares / self._squares if self._squares else 0.0)

    @property
    def max_abs_error(self) -> float:
        """The largest error, in six digits."""
        return six_digits(self._largest)


def six_digits(value: float) -> float:
    """``value`` rounded: its last digits may depend on numpy's order of addition."""
    return float(f"{value:.6g}")
