"""Numba, imported without the settings file of the current folder.

Numba reads ``.numba_config.yaml`` there, whoever filled that folder. ``NUMBA_*`` variables count as
ever. The package takes Numba from here, by ``compiled``, and a test refuses any other import.
"""

from __future__ import annotations

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


if "numba" in sys.modules:   # with settings that are the program's own affair
    import numba
else:
    with _no_settings_file():
        import numba
    numba.config._config_fname = ""   # which it looks for again when it compiles
