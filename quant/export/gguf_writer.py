"""A GGUF file written tensor by tensor, row block by row block."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...errors import OutputError
from ..checkpoint.files.gguf_blocks import TYPES
from ..checkpoint.files.gguf_file import ALIGNMENT, MAGIC

__all__ = ["GgufEntry", "GgufWriter", "Unsigned", "gguf_bytes"]

_VERSION = 3
_INT32, _UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 5, 4, 6, 7, 8, 9


class Unsigned(int):
    """An integer that the metadata holds as uint32; a plain int is an int32 in an array."""


@dataclass(frozen=True)
class GgufEntry:
    """A tensor of the file: its type by ggml's name, its shape with the rows' length last."""

    type: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes, without padding."""
        rows = int(np.prod(self.shape[:-1], dtype=np.int64))
        return rows * TYPES[self.type].row_bytes(self.shape[-1])


def gguf_bytes(metadata: Mapping[str, Any], tensors: Mapping[str, GgufEntry]) -> int:
    """Size of the file that ``GgufWriter`` writes."""
    header, _ = _header(metadata, tensors)
    return len(header) + sum(_padded(entry.nbytes) for entry in tensors.values())


class GgufWriter:
    """Fills the empty file ``path`` with ``metadata`` and exactly ``tensors``; a context manager.

    A metadata value is a str, bool, float (float32), ``Unsigned`` (uint32), or a list of str,
    float or int (int32). Tensors are written in the mapping's order, each by one or more calls of
    ``append``. Leaving the context without an error checks that all are whole.
    """

    def __init__(
        self, path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, GgufEntry]
    ) -> None:
        self._path = path
        self._tensors = tensors
        header, self._begin = _header(metadata, tensors)
        self._written = dict.fromkeys(tensors, 0)
        self._file = path.open("r+b")
        self._file.write(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()

    def append(self, name: str, block: np.ndarray) -> None:
        """Write the next bytes, uint8, of tensor ``name``."""
        size = self._tensors[name].nbytes
        if self._written[name] + block.nbytes > size:
            raise ValueError(f"{name} has {size} bytes, which are full")
        self._file.seek(self._begin[name] + self._written[name])
        self._file.write(np.ascontiguousarray(block, np.uint8).data)
        self._written[name] += block.nbytes

    def _finish(self) -> None:
        for name, entry in self._tensors.items():
            if self._written[name] != entry.nbytes:
                raise OutputError(
                    f"{self._path}: {name} got {self._written[name]} of {entry.nbytes} bytes"
                )
        self._file.seek(0, os.SEEK_END)
        self._file.write(b"\0" * (-self._file.tell() % ALIGNMENT))
        self._file.flush()
        os.fsync(self._file.fileno())


def _header(
    metadata: Mapping[str, Any], tensors: Mapping[str, GgufEntry]
) -> tuple[bytes, dict[str, int]]:
    """The file's first bytes, padded, and where each tensor begins."""
    parts = [MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))]
    for key, value in metadata.items():
        kind, data = _value(value)
        parts += [_string(key), struct.pack("<I", kind), data]
    begin: dict[str, int] = {}
    offset = 0
    for name, entry in tensors.items():
        begin[name] = offset
        axes = entry.shape[::-1]
        parts += [_string(name), struct.pack(f"<I{len(axes)}Q", len(axes), *axes)]
        parts.append(struct.pack("<IQ", TYPES[entry.type].number, offset))
        offset += _padded(entry.nbytes)
    header = b"".join(parts)
    header += b"\0" * (-len(header) % ALIGNMENT)
    return header, {name: len(header) + start for name, start in begin.items()}


def _value(value: Any) -> tuple[int, bytes]:
    """Type number and bytes of a metadata value."""
    if isinstance(value, str):
        return _STRING, _string(value)
    if isinstance(value, bool):
        return _BOOL, bytes([value])
    if isinstance(value, Unsigned):
        return _UINT32, struct.pack("<I", value)
    if isinstance(value, float):
        return _FLOAT32, struct.pack("<f", value)
    if isinstance(value, list) and value:
        if isinstance(value[0], str):
            return _ARRAY, struct.pack("<IQ", _STRING, len(value)) + b"".join(map(_string, value))
        kind, letter = (_FLOAT32, "f") if isinstance(value[0], float) else (_INT32, "i")
        return _ARRAY, struct.pack(f"<IQ{len(value)}{letter}", kind, len(value), *value)
    raise TypeError(f"GGUF metadata cannot hold {value!r} here")


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
