"""Python's collector of reference cycles, where it costs more than it frees."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collections"]


@contextmanager
def without_collections() -> Iterator[None]:
    """Look for no reference cycles within the block.

    For work that makes millions of objects which all stay until it ends: the collector goes
    through all of them again and again. Amaranth's elaboration takes half the time without it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
