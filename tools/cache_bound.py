"""How much a cache may hold, and what of it goes first: what was not used for the longest time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolError
from .scratch import abandon, locked

__all__ = ["keep_in_bounds", "lock_file", "most_bytes", "note_use", "sums_file"]

_VARIABLE = "TRILOBITE_CACHE_BYTES"
_DEFAULT = 2 << 30
_HOUR = 3600   # seconds
_PARTS = 32   # a cache is looked through again when this part of what it may hold was added


def most_bytes() -> int:
    """Bytes that each kind of cache may hold: ``$TRILOBITE_CACHE_BYTES``, or 2 GiB.

    Raises
    ------
    ToolError
        The variable is no whole number from 0.
    """
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return _DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ToolError(f"{_VARIABLE} is {text[:40]!r}; it must be a whole number of bytes, for "
                        f"example {_DEFAULT}")
    return int(text)


def lock_file(folder: Path) -> Path:
    """What is locked while ``folder`` is made or removed."""
    return folder.with_name(f"{folder.name}.lock")


def sums_file(folder: Path) -> Path:
    """Where the checksums of ``folder`` are; its time is that of the last use."""
    return folder.with_name(f"{folder.name}.sha256")


def note_use(folder: Path) -> None:
    """Remember that ``folder`` is used now."""
    with suppress(OSError):   # a cache that this process cannot write is not pruned by it either
        if time.time() - sums_file(folder).stat().st_mtime > _HOUR / 2:
            os.utime(sums_file(folder))


def keep_in_bounds(made: Path) -> None:
    """Remove folders beside ``made``, a new one, that were not used for the longest time.

    Until all together have no more than ``most_bytes``. What was used within the last hour stays,
    however much that is: another process may be about to run it.
    """
    kind, size = made.parent, _bytes(made)
    _added[kind] = _added.get(kind, 0) + size
    limit = most_bytes()
    if kind in _seen and _added[kind] <= limit // _PARTS:
        return
    _seen.add(kind)
    _added[kind] = 0
    entries = sorted(_entries(kind), key=lambda entry: entry.used)
    total = sum(entry.bytes for entry in entries)
    for entry in entries:
        if total <= limit or entry.folder == made or time.time() - entry.used < _HOUR:
            continue
        total -= _remove(entry)


_seen: set[Path] = set()
_added: dict[Path, int] = {}


@dataclass(frozen=True)
class _Entry:
    folder: Path
    used: float
    bytes: int


def _entries(kind: Path) -> Iterator[_Entry]:
    """All finished folders of a kind."""
    for sums in kind.glob("*.sha256"):
        folder = sums.with_suffix("")
        with suppress(OSError):   # another process removes it
            yield _Entry(folder, sums.stat().st_mtime, _bytes(folder))


def _remove(entry: _Entry) -> int:
    """Remove a folder that nobody makes or removes just now; the bytes that are free again."""
    with suppress(OSError), locked(lock_file(entry.folder), fcntl.LOCK_NB):
        if sums_file(entry.folder).stat().st_mtime != entry.used:   # used since
            return 0
        if entry.folder.exists():
            abandon(entry.folder)
        sums_file(entry.folder).unlink()
        return entry.bytes
    return 0


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
