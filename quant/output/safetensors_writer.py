"""A safetensors file written row block by row block, never held in memory.

``safetensors.numpy.save_file`` wants every tensor at once; here the header is computed from
shapes and types alone, and each tensor is then filled from its start to its end.
Layout: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...errors import OutputError

__all__ = ["SafetensorsWriter", "TensorEntry", "safetensors_bytes"]

# Types by their names in the header; BF16 has no numpy type and is written from its bits.
_DTYPES: dict[str, np.dtype] = {
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F32": np.dtype("<f4"),
}
_READ_BYTES = 1 << 20
_SYNCED_BYTES = 64 << 20   # written between two orders to the disk
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if name != "BF16"}


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the file: its type, by its name in safetensors, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, dtype: np.dtype, shape: tuple[int, ...]) -> Self:
        """The entry for a numpy type."""
        return cls(_NAMES[dtype], shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _DTYPES[self.dtype].itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.itemsize

    def from_float32(self, numbers: np.ndarray) -> np.ndarray:
        """Float32 ``numbers`` as this (float) type; exact for those that were read from it."""
        if self.dtype == "BF16":
            return (np.ascontiguousarray(numbers).view(np.uint32) >> 16).astype(np.uint16)
        return numbers.astype(_DTYPES[self.dtype])

    def to_float32(self, values: np.ndarray) -> np.ndarray:
        """Inverse of ``from_float32``: what the stored ``values`` stand for."""
        if self.dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)


def safetensors_bytes(tensors: Mapping[str, TensorEntry]) -> int:
    """Size of the file that ``SafetensorsWriter`` writes for ``tensors``."""
    header, _ = _header(tensors)
    return len(header) + sum(tensor.nbytes for tensor in tensors.values())


class SafetensorsWriter:
    """Writes the file ``path`` with exactly ``tensors``; a context manager.

    ``resume``: the file is there, begun by another writer of the same tensors; see ``keep``.

    Each tensor is filled by one or more calls of ``append``; tensors may take turns. What has been
    appended goes to the disk beside the work, and leaving the context without an error puts the
    rest there (fsync).

    Raises
    ------
    OSError
        From any method: the disk is full, or the like.
    """

    def __init__(
        self, path: Path, tensors: Mapping[str, TensorEntry], resume: bool = False
    ) -> None:
        self._path = path
        self._tensors = tensors
        header, self._begin = _header(tensors)
        self._written = dict.fromkeys(tensors, 0)
        self._hashes = {name: hashlib.sha256() for name in tensors}
        self._file = path.open("r+b" if resume else "x+b")
        if resume:   # what a stranger appended is cut off
            self._file.truncate(min(path.stat().st_size, safetensors_bytes(tensors)))
        self._file.write(header)
        self._syncing = ThreadPoolExecutor(1)
        self._synced: Future[None] | None = None
        self._unsynced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._syncing.shutdown()
            self._file.close()

    def append(self, name: str, block: np.ndarray) -> None:
        """Write the next values of tensor ``name``, row-major, in its type (BF16: its bits)."""
        tensor = self._tensors[name]
        dtype = _DTYPES[tensor.dtype]
        if block.dtype != dtype:
            raise ValueError(f"{name} is stored as {tensor.dtype}, not as {block.dtype}")
        if self._written[name] + block.nbytes > tensor.nbytes:
            raise ValueError(f"{name} has {tensor.nbytes} bytes, which are full")
        self._file.seek(self._begin[name] + self._written[name])
        data = np.ascontiguousarray(block, dtype).data
        self._file.write(data)
        self._hashes[name].update(data)
        self._written[name] += block.nbytes
        self._unsynced += block.nbytes
        if self._unsynced >= _SYNCED_BYTES:
            self._sync()

    def _sync(self) -> None:
        """Have the disk begin with what there is, unless it is still busy with what was before."""
        if self._synced is not None:
            if not self._synced.done():
                return
            self._synced.result()   # raises what went wrong
        self._file.flush()
        self._synced = self._syncing.submit(os.fdatasync, self._file.fileno())
        self._unsynced = 0

    def flush(self) -> None:
        """Hand everything appended to the operating system, so that a killed process keeps it."""
        self._file.flush()

    def digest(self, name: str) -> str:
        """SHA-256 of what has been appended to a tensor."""
        return self._hashes[name].hexdigest()

    def keep(self, digests: Mapping[str, str]) -> bool:
        """Count the tensors of ``digests`` as written, if all have those bytes in the file."""
        found = {name: self._hash(name) for name in digests}
        if any(found[name].hexdigest() != digest for name, digest in digests.items()):
            return False
        for name, digest in found.items():
            self._hashes[name], self._written[name] = digest, self._tensors[name].nbytes
        return True

    def _hash(self, name: str) -> Any:   # hashlib names no public type
        """SHA-256 of the bytes that lie in a tensor's place, as far as the file has them."""
        found, left = hashlib.sha256(), self._tensors[name].nbytes
        self._file.seek(self._begin[name])
        while left and (block := self._file.read(min(left, _READ_BYTES))):
            found.update(block)
            left -= len(block)
        return found

    def stored(self, name: str) -> np.ndarray:
        """A tensor that has been written, read back (BF16: its bits)."""
        tensor = self._tensors[name]
        self._file.flush()
        self._file.seek(self._begin[name])
        data = self._file.read(tensor.nbytes)
        return np.frombuffer(data, _DTYPES[tensor.dtype]).reshape(tensor.shape)

    def _finish(self) -> None:
        for name, tensor in self._tensors.items():
            if self._written[name] != tensor.nbytes:
                raise OutputError(
                    f"{self._path}: {name} got {self._written[name]} of {tensor.nbytes} bytes"
                )
        self._file.flush()
        if self._synced is not None:
            self._synced.result()
        os.fsync(self._file.fileno())


def _header(tensors: Mapping[str, TensorEntry]) -> tuple[bytes, dict[str, int]]:
    """The file's first bytes, and where each tensor begins, counted from the file's start.

    Wide types go first, so that every tensor is aligned to its type, as PyTorch needs it.
    """
    entries: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    begin: dict[str, int] = {}
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        begin[name] = position
        position += tensor.nbytes
        entries[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin[name], position],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + start for name, start in begin.items()}
