"""Folders that are made once, by one process, and then only read.

What is in the cache is run (simulators, compiled kernels) or believed (counts), so it is kept in
folders that nobody else can write, checked whenever it is used, and made again when it is damaged.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from ..errors import ToolError
from .cache_bound import keep_in_bounds, lock_file, most_bytes, note_use, sums_file
from .scratch import locked, scratch_folder, sweep

__all__ = [
    "CacheWarning", "UnusableCacheError", "cache_folder", "cached_folder", "content_key",
    "private_folder", "warn_once",
]

_BUILDING = "building-"   # of versions that hold no lock on what they build
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class CacheWarning(UserWarning):
    """Something could not be kept, or was damaged and is made again; results are the same."""


class UnusableCacheError(ToolError):
    """There is no folder to keep things in; the message says why, and what to do."""


def cache_folder(kind: str) -> Path:
    """Where folders of a ``kind`` are kept: in ``$TRILOBITE_CACHE``, or in the user's cache.

    Raises
    ------
    UnusableCacheError
        The user has no home.
    """
    if chosen := os.environ.get("TRILOBITE_CACHE"):
        return Path(chosen).absolute() / kind
    user = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not user.is_absolute():   # which XDG's specification says to ignore
        try:
            user = Path.home() / ".cache"
        except RuntimeError:
            raise UnusableCacheError("There is no cache folder, because HOME is not set; set "
                                     "TRILOBITE_CACHE to a folder of yours") from None
    return user / "trilobite" / kind


def private_folder(kind: str) -> Path:
    """``cache_folder``, made if it is not there, that no other user can write.

    Raises
    ------
    UnusableCacheError
        It cannot be made, belongs to another user, or others may write it or a folder above.
    ToolError
        What it may hold (``cache_bound``) is no number.
    """
    most_bytes()
    folder = cache_folder(kind)
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        problem = _exposed(folder.resolve(strict=True))
    except OSError as error:
        problem = f"it cannot be made ({error.strerror})"
    if problem:
        raise UnusableCacheError(f"The cache folder {folder} is not used: {problem}; set "
                                 "TRILOBITE_CACHE to a folder that only you can write")
    return folder


def content_key(parts: Sequence[str]) -> str:
    """A short hash of ``parts``."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def cached_folder(kind: str, name: str, fill: Callable[[Path], None]) -> Path:
    """The folder ``name`` of a ``kind``; if there is none, let ``fill`` fill an empty one.

    It appears in one step, complete, with the checksums of its files beside it in ``name.sha256``.
    One whose files are not those any more is made again, once, with a ``CacheWarning``. Processes
    that want the same one wait for the first; a ``fill`` that raises leaves nothing. Others go when
    there are too many (``cache_bound``). Where nothing can be kept the folder is filled for this
    process alone, with a ``CacheWarning``.

    Raises
    ------
    ToolError
        There is no room for it anywhere.
    """
    try:
        folder = private_folder(kind) / name
        note_use(folder)   # before it is read: what was used just now is not removed
        if _damage(folder) is not None:
            _make(folder, fill)
        return folder
    except UnusableCacheError as error:
        problem = str(error)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        problem = f"Nothing can be kept in {cache_folder(kind)} ({error.strerror})"
    warn_once(f"{problem}, so {name} is made for this run alone")
    return _for_this_process(kind, name, fill)


@cache
def warn_once(sentence: str) -> None:
    """Give ``sentence`` as a ``CacheWarning``, the first time that this process says it."""
    warnings.warn(sentence, CacheWarning, stacklevel=3)


def _exposed(folder: Path) -> str | None:
    """Why others can write in ``folder``, as a clause; None if they cannot."""
    for place in (folder, folder.parent):
        if place.stat().st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user"
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if mode & stat.S_IWOTH and (place == folder or not mode & stat.S_ISVTX):
            return f"everybody can write in {place}"
    return None


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    with locked(lock_file(folder)):
        if (damage := _damage(folder)) is None:   # made while we waited
            return
        if folder.is_dir():
            warnings.warn(f"The cached folder {folder} is damaged ({damage}); it is made again",
                          CacheWarning, stacklevel=4)
            shutil.rmtree(folder)
        sweep(folder.parent, _BUILDING)
        with scratch_folder(folder.parent) as scratch:
            fresh = scratch / folder.name
            fresh.mkdir()
            fill(fresh)
            sums_file(folder).write_text(_sums(fresh))
            fresh.rename(folder)
    keep_in_bounds(folder)


def _damage(folder: Path) -> str | None:
    """What of ``folder`` is not as it was made, as a clause; None if all is."""
    if not folder.is_dir():
        return "it is not there"
    try:
        made, found = sums_file(folder).read_text(), _sums(folder)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except UnicodeDecodeError:
        return f"{sums_file(folder).name} is not text"
    if made == found:
        return None
    changed = set(made.splitlines()) ^ set(found.splitlines())
    return "changed: " + ", ".join(sorted({line.partition("  ")[2] for line in changed}))


def _sums(folder: Path) -> str:
    """Checksums of all files in ``folder``, as ``sha256sum`` writes and checks them."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{digest}  {folder.name}/{path.relative_to(folder)}\n")
    return "".join(lines)


_here: dict[tuple[str, str], Path] = {}


@cache
def _folder_of_process() -> Path:
    """A folder that is removed when this process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(scratch_folder())


def _for_this_process(kind: str, name: str, fill: Callable[[Path], None]) -> Path:
    if (kind, name) not in _here:
        folder = _folder_of_process()
        try:
            folder = Path(tempfile.mkdtemp(dir=folder)) / name
            folder.mkdir()
            fill(folder)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in _UNWRITABLE:
                raise ToolError(f"{folder} cannot be written ({error.strerror}); set TMPDIR to a "
                                "folder with room") from None
            raise
        _here[kind, name] = folder
    return _here[kind, name]
