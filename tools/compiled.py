"""Numba as this package uses it: ``njit`` keeps compiled code that is never stale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .compiled_store import CompiledStore
from .numba_import import numba

__all__ = ["config", "intrinsic", "njit", "numba", "prange", "types"]

prange, types = numba.prange, numba.types
intrinsic: Any = numba.extending.intrinsic   # it takes the function's first parameter away
config: Any = numba.config   # its names are made when Numba is imported


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """``numba.njit`` whose compiled code is kept in a ``CompiledStore``."""
    if function is None:
        return lambda function: njit(function, **options)
    compiled = numba.njit(function, **options)
    if compiled is not function:   # as it is with NUMBA_DISABLE_JIT
        compiled._cache = CompiledStore(compiled)   # what its ``enable_caching`` does
    return compiled
