"""From a weight in any number format to a linear that multiplies with it."""

from __future__ import annotations

import numpy as np

from ..errors import FormatError
from ..quant.formats.base import PackedWeight
from .kernels.base import IntegerLinear, Linear
from .kernels.floating.float32 import Float32Linear
from .kernels.floating.fp8 import Fp8Linear
from .kernels.floating.nibbles import Int4Fp8Linear, Mxfp4Linear, Nvfp4Linear
from .kernels.integer.int4 import Int4Linear
from .kernels.integer.int8 import Int8Linear
from .kernels.integer.narrow import GroupedTernaryLinear, NarrowIntLinear
from .kernels.integer.planes import HlqLinear, TernaryPlanesLinear
from .kernels.ternary.portable import TernaryLinear

__all__ = ["IntegerLinear", "Linear", "make_linear"]

# One line for each number format.
_KERNELS: dict[str, type[IntegerLinear]] = {
    "ternary": TernaryLinear,
    "int2": NarrowIntLinear,
    "int3": NarrowIntLinear,
    "int4": Int4Linear,
    "ternary-group": GroupedTernaryLinear,
    "ternary-planes": TernaryPlanesLinear,
    "hlq2": HlqLinear,
    "hlq3": HlqLinear,
    "int8": Int8Linear,
    "fp8": Fp8Linear,
    "int4-fp8": Int4Fp8Linear,
    "mxfp4": Mxfp4Linear,
    "nvfp4": Nvfp4Linear,
}


def make_linear(weight: PackedWeight | np.ndarray, bias: np.ndarray | None) -> Linear:
    """Linear of a packed or float32 [M, K] weight and a float32 [M] bias, or none.

    Raises
    ------
    FormatError
        The weight's format has no kernel, or its bytes are not codes of that format.
    """
    if isinstance(weight, np.ndarray):
        return Float32Linear(weight, bias)
    kernel = _KERNELS.get(weight.format.name)
    if kernel is None:
        raise FormatError(
            f"There is no kernel for format {weight.format.name!r}; there are {sorted(_KERNELS)}"
        )
    return kernel(weight, bias)
