"""Quantization methods by name: how the codes of a format are chosen.

``rtn``, round to nearest, is each format's own ``encode``; ``cas`` scales columns before it does
the same; neither needs text. Every other method is one file here and one line in ``METHODS``; it
sees what a linear reads on calibration text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import FormatError
from ..formats import Codes, Format, known_formats
from ..formats.codebook import Codebook
from ..formats.grouped_int import GroupedInt
from ..formats.grouped_ternary import GroupedTernary
from ..formats.int4_fp8 import Int4Fp8
from . import awq, gptq, itf
from .calibration import Calibration, CalibrationRun

__all__ = ["METHODS", "ROUNDING", "Calibration", "CalibrationRun", "Method", "choose_method"]

ROUNDING = "rtn"


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
    quantize: Callable[[np.ndarray, np.ndarray, Format], Codes] | None
    formats: tuple[type[Format], ...]
    scales_columns: bool = False
    corrects_inputs: bool = False
    rounded: tuple[str, ...] = ()

    @property
    def calibrates(self) -> bool:
        """Whether it needs text."""
        return self.quantize is not None


METHODS = {
    method.name: method
    for method in (
        Method("gptq", gptq.gptq, (GroupedInt, Codebook), corrects_inputs=True),
        Method("awq", awq.awq, (GroupedInt, GroupedTernary), scales_columns=True,
               rounded=awq.NEVER_CLIPPED),
        Method("itf", itf.itf, (GroupedTernary,), corrects_inputs=True),
        Method("cas", None, (Int4Fp8,)),
    )
}


def choose_method(name: str, form: Format) -> Method | None:
    """The method called ``name``; None for plain rounding.

    Raises
    ------
    FormatError
        There is no such method, or it does not quantize to ``form``.
    """
    if name == ROUNDING:
        return None
    if name not in METHODS:
        raise FormatError(f"Method {name!r} is unknown; known are {[ROUNDING, *METHODS]}")
    method = METHODS[name]
    if not isinstance(form, method.formats):
        able = sorted(one.name for one in known_formats().values()
                      if issubclass(one, method.formats))
        raise FormatError(f"Method {name} does not make {form.name}; it makes {', '.join(able)}")
    return method
