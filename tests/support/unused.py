"""Components that are made and never elaborated, of which Amaranth warns when they are freed."""

import gc
import warnings
from contextlib import contextmanager

from amaranth.hdl import UnusedElaboratable


@contextmanager
def never_elaborated():
    """Free here, without a warning, the components that the block made and no longer holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        yield
        gc.collect()
