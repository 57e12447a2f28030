"""A file that is read in pieces, and may shrink or vanish while it is open."""

from __future__ import annotations

import math
import mmap
import os
import weakref
from functools import cached_property
from pathlib import Path

import numpy as np

from ....errors import CheckpointError
from ....tools.files import open_regular
from .fields import printable

__all__ = ["RawFile"]

_SMALLEST_VIEW = 1 << 20   # bytes; less is read, which is faster than telling the system of pages
_NEIGHBOURHOOD = 64 << 10  # Linux maps what lies around a page when that is first touched


class RawFile:
    """An open file; ``size`` is its size when it was opened.

    Several threads may read. ``read`` copies, and a file that has shrunk is an error; ``view`` of a
    file that may be ``mapped`` does not copy, and a file that shrinks while a view is used ends the
    process (SIGBUS), as with any mapped file.

    Raises
    ------
    CheckpointError
        The file cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path, mapped: bool = False) -> None:
        self.path = path
        self._mapped = mapped
        self._file = open_regular(path, CheckpointError)
        self.size = os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file; nothing can be read afterwards, but views stay."""
        self._file.close()

    def fill(self, target: memoryview, offset: int) -> bool:
        """Fill ``target`` from byte ``offset`` on; False where the file ends first."""
        filled = 0
        while filled < len(target):   # one call reads at most 2 GiB on Linux
            count = os.preadv(self._file.fileno(), [target[filled:]], offset + filled)
            if not count:
                return False
            filled += count
        return True

    def read(self, name: str, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array at byte ``offset``; raises ``CheckpointError``, naming ``name``, if cut short.

        The caller has checked that it lies within ``size``.
        """
        block = np.empty(shape, dtype)
        if not block.nbytes:
            return block
        try:
            complete = self.fill(block.reshape(-1).view(np.uint8).data, offset)
        except OSError as error:
            raise CheckpointError(f"{self.path}: {printable(name)}: {error.strerror}") from None
        if not complete:
            raise CheckpointError(f"{self.path}: the file ends inside of {name}; it was cut short")
        return block

    def view(self, name: str, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Do what ``read`` does, but return read-only memory of the mapped file.

        It is a copy where the file is not to be mapped, where ``offset`` is none at which a
        ``dtype`` may lie, and of less than 1 MiB. Pages leave the process's memory when the last
        array on them is let go.
        """
        nbytes = math.prod(shape) * dtype.itemsize
        if not self._mapped or nbytes < _SMALLEST_VIEW or offset % dtype.itemsize:
            return self.read(name, offset, shape, dtype)
        end = offset + nbytes
        if os.fstat(self._file.fileno()).st_size < end:   # a view would be a bus error
            raise CheckpointError(f"{self.path}: the file ends inside of {name}; it was cut short")
        unit = max(_NEIGHBOURHOOD, mmap.PAGESIZE)
        start = offset // unit * unit
        pages = start, min(self.size, -(-end // unit) * unit) - start
        self._advise(self._map, "MADV_WILLNEED", *pages)
        array = np.frombuffer(self._map, dtype, math.prod(shape), offset)
        let_go = weakref.finalize(array, self._advise, self._map, "MADV_DONTNEED", *pages)
        let_go.atexit = False
        return array.reshape(shape)

    @cached_property
    def _map(self) -> mmap.mmap:
        """The whole file: one map, since each takes a file handle.

        Private and not read-only: Numba compiles a kernel once more for arrays that are.
        """
        try:
            return mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} cannot be mapped ({error}); load it with mmap=False or --no-mmap"
            ) from None

    @staticmethod
    def _advise(mapped: mmap.mmap, advice: str, start: int, length: int) -> None:
        """Tell the system what pages are for, where it can be told."""
        if hasattr(mmap, advice):
            mapped.madvise(getattr(mmap, advice), start, length)
