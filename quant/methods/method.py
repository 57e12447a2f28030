"""What a quantization method is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..formats import Codes, Format

__all__ = ["Method"]


@dataclass(frozen=True)
class Method:
    """A method that does more than to round.

    ``quantize(weight, hessian, format)`` gives the codes of float32 [M, K] for inputs with
    ``hessian`` float64 [K, K]; None: the method needs no text, and its weights are rounded.
    ``formats`` are the classes of format that it can do so for. With
    ``scales_columns`` the weights have been scaled before, and what makes their inputs too; with
    ``corrects_inputs`` they are ``corrected`` for what was lost before them. Linears called
    ``rounded`` are only rounded, after any scaling.
    """

    name: str
    quantize: Callable[[np.ndarray, np.ndarray, Any], Codes] | None   # of one of ``formats``
    formats: tuple[type[Format], ...]
    scales_columns: bool = False
    corrects_inputs: bool = False
    rounded: tuple[str, ...] = ()

    @property
    def calibrates(self) -> bool:
        """Whether it needs text."""
        return self.quantize is not None
