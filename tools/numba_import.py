"""Numba, imported without the settings file of the current folder.

Numba reads ``.numba_config.yaml`` there, whoever filled that folder. ``NUMBA_*`` variables count as
ever. The package takes Numba from here, by ``compiled``, and a test refuses any other import; so
what Numba's threads read when they start is set here, too.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["numba"]


@contextmanager
def _no_settings_file() -> Iterator[None]:
    """Let Numba find no YAML reader while it is imported; it looks for its file at once."""
    reader = sys.modules.get("yaml")
    sys.modules["yaml"] = None   # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A Numba config file is found", UserWarning)
            yield
    finally:
        del sys.modules["yaml"]
        if reader is not None:
            sys.modules["yaml"] = reader


# OpenMP's threads spin while they wait for each other. Beside other work on the same cores that
# makes a matmul of 0.6 ms take 36 ms; sleeping at once costs 35 us to wake up, some hundred times
# to a token. So they spin for about 50 us (GNU's OpenMP counts turns), then sleep: between the
# kernels of a decode step nobody sleeps, and beside other work a kernel loses 50 us. Numba loads
# OpenMP with the first parallel kernel or question for the number of threads, hence after these
# lines; who has set a variable keeps it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if "numba" in sys.modules:   # with settings that are the program's own affair
    import numba
else:
    with _no_settings_file():
        import numba
    numba.config._config_fname = ""   # which it looks for again when it compiles
