"""From a weight in any number format to a linear that multiplies with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError
from ..quant.formats.base import PackedWeight
from ..tools.registry import Registry
from .kernels.base import IntegerLinear, Linear
from .kernels.floating.float32 import Float32Linear
from .kernels.floating.nibbles import StoredMxfp4Linear
from .kernels.integer.int4 import StoredInt4Linear

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


# Kernels of formats whose own kernels copy the weight into another order.
_STORED: dict[str, type[IntegerLinear]] = {
    "int4": StoredInt4Linear,
    "mxfp4": StoredMxfp4Linear,
}


def make_linear(
    weight: PackedWeight | np.ndarray, bias: np.ndarray | None, stored: bool = False
) -> Linear:
    """Linear of a packed or float32 [M, K] weight and a float32 [M] bias, or none.

    ``stored``: where there is a kernel that can, the weight's memory is used as it is, for weights
    that stay in a mapped file. The bits are the same.

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
    kernel = _STORED.get(form.kernel) if stored else None
    return (kernel or KERNELS.find(form.kernel))(weight, bias)
