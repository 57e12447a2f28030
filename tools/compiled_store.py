"""Compiled code on disk: found by the content of what it was compiled from, checked when read.

One file holds one compiled form of one function. Its name is a hash of everything that the
function reaches (``reached``), the types it was compiled for, the processor, and the versions of
what compiles; so an edit anywhere leads to another file, and equal code is shared between
checkouts. A damaged file is compiled and written again. Files that were not used for the longest
time go when there are too many.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numpy as np
from typing_extensions import override

from .cache import CacheWarning, UnusableCacheError, private_folder, warn_once
from .cache_bound import most_bytes
from .numba_import import numba
from .reached import UnknownContentError, content_of

__all__ = ["KIND", "CompiledStore"]

CompileResult, NumbaWarning = numba.core.compiler.CompileResult, numba.core.errors.NumbaWarning

KIND = "compiled"
_MAGIC = b"trilobite compiled 1\n"
_DIGEST = hashlib.sha256().digest_size
_WRITING = ".writing-"
_DAY = 86_400
# Settings of Numba that change what it makes of a function; the processor's are in its own tuple.
_SETTINGS = ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT",
             "DEBUG_NRT", "LLVM_REFPRUNE_PASS", "DISABLE_INTEL_SVML", "USING_SVML")


class CompiledStore(numba.core.caching._Cache):
    """The compiled forms of one function."""

    def __init__(self, function: Any) -> None:
        self._function = function   # Numba's dispatcher
        self._enabled = True

    @property
    @override
    def cache_path(self) -> str:
        return str(private_folder(KIND))

    @override
    def enable(self) -> None:
        self._enabled = True

    @override
    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Nothing: the next form has another name or replaces an equal one."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The form for the types ``sig``, or None if it must be compiled."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        if path is None or (payload := _read(path)) is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception as error:   # whatever unpickling or linking may raise
            _say_damaged(path, str(error))
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the form for the types ``sig``; say so if that is not possible."""
        path = self._path(sig, data.codegen)
        if path is None or not self._can_be_kept(data):
            return
        try:
            _write(path, numba.core.serialize.dumps(data._reduce()))
        except OSError as error:
            warn_once(f"Compiled code cannot be kept in {path.parent} ({error.strerror}), so it is "
                      "compiled anew in each process")

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        """The file of a form; None if there is no folder for it, or no name."""
        if not self._enabled:
            return None
        try:
            folder = private_folder(KIND)
            reached = content_of(self._function)
        except UnusableCacheError as error:
            warn_once(f"{error}, so kernels are compiled anew in each process")
            return None
        except UnknownContentError as error:
            warnings.warn(f"{self._function.__qualname__} is not kept compiled: {error}",
                          NumbaWarning, stacklevel=2)
            return None
        name = f"{self._function.__module__}.{self._function.__qualname__}"
        parts = (name, reached, str(sig), str(codegen.magic_tuple()), numba.__version__,
                 llvmlite.__version__, np.__version__, sys.version,
                 *(str(getattr(numba.config, setting, None)) for setting in _SETTINGS))
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        short = name.removeprefix("trilobite.").replace("<locals>.", "")[-80:]
        return folder / f"{short}-{key}"

    def _can_be_kept(self, data: Any) -> bool:
        problem = None
        if any(not lifted.can_cache for lifted in data.lifted):
            problem = "it has lifted loops"
        elif data.library.has_dynamic_globals:
            problem = "it holds addresses of this process"
        if problem:
            warnings.warn(f"{self._function.__qualname__} is not kept compiled: {problem}",
                          NumbaWarning, stacklevel=2)
        return problem is None


def _read(path: Path) -> bytes | None:
    """What was written to ``path``; None if there is nothing, or it is damaged."""
    try:
        data = path.read_bytes()
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)   # it is in use: ``_prune`` takes others
    except OSError:
        return None
    head = len(_MAGIC) + _DIGEST
    digest = hashlib.sha256(data[head:]).digest()
    if data[:head] == _MAGIC + digest:
        return data[head:]
    _say_damaged(path, "its checksum is wrong")
    return None


def _write(path: Path, payload: bytes) -> None:
    """Let ``path`` appear in one step."""
    handle, scratch = tempfile.mkstemp(prefix=_WRITING, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(payload).digest() + payload)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    _prune(path.parent)


def _prune(folder: Path) -> None:
    """Remove what was used the longest ago if there is too much, and what killed writers left."""
    files = []
    for path in folder.iterdir():
        with suppress(OSError):   # another process removed it
            status = path.stat()
            if path.name.startswith(_WRITING) and time.time() - status.st_mtime > _DAY:
                path.unlink()
            else:
                files.append((status.st_mtime, status.st_size, path))
    total, most = sum(size for _, size, _ in files), most_bytes()
    for _, size, path in sorted(files):
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size


def _say_damaged(path: Path, why: str) -> None:
    warnings.warn(f"The compiled code in {path} is damaged ({why}); it is compiled again",
                  CacheWarning, stacklevel=2)
