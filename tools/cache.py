"""Folders that are made once, by one process, and then only read."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["cache_folder", "cached_folder", "content_key"]


def cache_folder(kind: str) -> Path:
    """Where folders of a ``kind`` are kept: in ``$TRILOBITE_CACHE``, or in the user's cache."""
    if chosen := os.environ.get("TRILOBITE_CACHE"):
        return Path(chosen).absolute() / kind
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "trilobite" / kind


def content_key(parts: Sequence[str]) -> str:
    """A short hash of ``parts``."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def cached_folder(kind: str, name: str, fill: Callable[[Path], None]) -> Path:
    """The folder ``name`` of a ``kind``; if there is none, let ``fill`` fill an empty one.

    It appears in one step, complete. Processes that want the same one wait for the first; a
    ``fill`` that raises leaves nothing.
    """
    cache = cache_folder(kind)
    folder = cache / name
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
                    fresh = Path(scratch) / name
                    fresh.mkdir()
                    fill(fresh)
                    fresh.rename(folder)
    return folder
