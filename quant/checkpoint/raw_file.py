"""A file that is read in pieces, and may shrink or vanish while it is open."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import numpy as np

from ...errors import CheckpointError
from .fields import printable

__all__ = ["RawFile"]


class RawFile:
    """An open file; ``size`` is its size when it was opened.

    Read through a handle, not a memory map: a map counts every page touched as the process's
    memory, and a file that shrinks while open would be a bus error. Several threads may read.

    Raises
    ------
    CheckpointError
        The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: FileIO = path.open("rb", buffering=0)
            self.size = path.stat().st_size
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
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
