"""From a weight in any number format to a linear that multiplies with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError
from ..quant.formats.base import PackedWeight
from ..tools.registry import Registry
from .kernels.base import IntegerLinear, Linear
from .kernels.floating.float32 import Float32Linear

__all__ = ["KERNELS", "IntegerLinear", "Linear", "make_linear"]


def _wrong(name: str, thing: Any) -> str | None:
    """Why ``thing`` is not the class of the kernel ``name``."""
    del name
    is_kernel = isinstance(thing, type) and issubclass(thing, IntegerLinear)
    return None if is_kernel else "is no subclass of IntegerLinear"


# The kernels by the name that formats state as their ``kernel``; a line for each.
KERNELS: Registry[type[IntegerLinear]] = Registry(
    "Kernel", "trilobite.kernels", __package__, {
        "ternary": ".kernels.ternary.portable:TernaryLinear",
        "narrow": ".kernels.integer.narrow:NarrowIntLinear",
        "int4": ".kernels.integer.int4:Int4Linear",
        "ternary-group": ".kernels.integer.narrow:GroupedTernaryLinear",
        "ternary-planes": ".kernels.integer.planes:TernaryPlanesLinear",
        "hlq": ".kernels.integer.planes:HlqLinear",
        "int8": ".kernels.integer.int8:Int8Linear",
        "fp8": ".kernels.floating.fp8:Fp8Linear",
        "int4-fp8": ".kernels.floating.nibbles:Int4Fp8Linear",
        "mxfp4": ".kernels.floating.nibbles:Mxfp4Linear",
        "nvfp4": ".kernels.floating.nibbles:Nvfp4Linear",
    }, _wrong, FormatError,
)


def make_linear(weight: PackedWeight | np.ndarray, bias: np.ndarray | None) -> Linear:
    """Linear of a packed or float32 [M, K] weight and a float32 [M] bias, or none.

    Raises
    ------
    FormatError
        The weight's format has no kernel, or its bytes are not codes of that format.
    """
    if isinstance(weight, np.ndarray):
        return Float32Linear(weight, bias)
    form = weight.format
    if not form.kernel:
        raise FormatError(f"Format {form.name!r} names no kernel that multiplies by its codes")
    return KERNELS.find(form.kernel)(weight, bias)
