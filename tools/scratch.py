"""Folders that go with the process that made them, however it ends.

The owner of such a folder holds a lock on it, which ends with the process, killed or not. Whoever
makes the next one in the same place removes those that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["PREFIX", "abandon", "locked", "scratch_folder", "sweep"]

PREFIX = "trilobite-scratch-"
_UNNAMED = ".trilobite-new-"   # not locked yet
_DAY = 86_400                  # seconds; what no lock tells of is left behind after that long


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder in ``parent`` (None: where temporary files go) that goes with the block.

    Raises ``OSError`` where none can be made.
    """
    parent = Path(tempfile.gettempdir() if parent is None else parent)
    sweep(parent)
    unnamed = Path(tempfile.mkdtemp(dir=parent, prefix=_UNNAMED))
    folder, handle = unnamed, _open_folder(unnamed)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        folder = unnamed.rename(_name(unnamed, parent))   # locked before a sweep can find it
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep(parent: Path, unlocked_prefix: str = _UNNAMED) -> None:
    """Remove what killed processes left in ``parent``.

    Folders that begin with ``unlocked_prefix`` may be in use without a lock: they are left for a
    day after anything in them was made.
    """
    for old in parent.glob(f"{PREFIX}*"):
        _remove_abandoned(old, 0)
    for old in parent.glob(f"{unlocked_prefix}*"):
        _remove_abandoned(old, _DAY)


def abandon(folder: Path) -> None:
    """Remove ``folder`` so that, cut off in the middle, the next ``sweep`` goes on."""
    renamed = folder.rename(_name(folder, folder.parent))
    shutil.rmtree(renamed, ignore_errors=True)


@contextmanager
def locked(path: Path, flags: int = 0) -> Iterator[None]:
    """Hold the lock on a file, which is made; ``BlockingIOError`` if ``LOCK_NB`` finds it held."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(handle)


def _name(folder: Path, parent: Path) -> Path:
    return parent / f"{PREFIX}{folder.name.removeprefix(_UNNAMED)}-{os.getpid()}"


def _remove_abandoned(folder: Path, seconds: float) -> None:
    """Remove a folder of ours that is not locked, and in which nothing was made for ``seconds``."""
    with suppress(OSError):   # another process removed it, or holds it
        handle = _open_folder(folder)
        try:
            if os.fstat(handle).st_uid != os.geteuid():
                return
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if seconds == 0 or time.time() - _changed(folder) > seconds:
                shutil.rmtree(folder)
        finally:
            os.close(handle)


def _changed(folder: Path) -> float:
    """When something in ``folder`` was made or written the last time."""
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
