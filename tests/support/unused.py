"""Components that are made and never elaborated, of which Amaranth warns when they are freed."""

import gc
import warnings
from contextlib import contextmanager

from amaranth.hdl import UnusedElaboratable


@contextmanager
def never_elaborated():
    """Free here, without a warning, the components that the block made and no longer holds.

    What was there before is set aside meanwhile: a worker's heap takes a second to look through.
    """
    gc.freeze()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedElaboratable)
            yield
            gc.collect()
    finally:
        gc.unfreeze()
