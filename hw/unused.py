"""Components that are made and never elaborated, of which Amaranth warns when they are freed."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import UnusedElaboratable

__all__ = ["never_elaborated"]


@contextmanager
def never_elaborated() -> Iterator[None]:
    """Free here, without a warning, the components that the block made and no longer holds.

    What was there before is set aside meanwhile: a large heap takes a second to look through.
    """
    frozen = gc.get_freeze_count()   # by the tests, for good
    gc.freeze()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedElaboratable)
            yield
            gc.collect()
    finally:
        if not frozen:
            gc.unfreeze()
