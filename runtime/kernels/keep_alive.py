"""How long the memory behind an address lives.

Numba frees an array after the last statement that names it: ``pointer = x.ctypes.data`` may be the
last use of ``x``, and a kernel that then goes through ``pointer`` writes where another thread's
array already lies. So an address is only taken of

* a parameter of the function, or a part of one: the caller holds it until the function returns;
* a local array that the function's last statements return, or name in ``keep_alive``,

and it is only passed on to calls, never returned. ``tests/runtime/kernels/test_addresses.py`` holds
every function of the package to that.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ...tools.compiled import intrinsic, types

__all__ = ["keep_alive"]


@intrinsic
def keep_alive(_: Any, value: Any) -> tuple:
    """Use ``value``, an array or a tuple of arrays, so that it is not freed before; no code."""

    def generate(context: Any, *_: Any) -> ir.Value:
        return context.get_dummy_value()

    return types.void(value), generate
