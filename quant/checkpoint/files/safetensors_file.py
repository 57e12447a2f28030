"""Safetensors files that nobody vouches for: the header is checked in full, then rows are read.

Written here rather than left to the ``safetensors`` package because an error names the tensor, and
``RawFile`` reads blocks through a file handle, or gives whole tensors where the file is mapped.

The layout (https://huggingface.co/docs/safetensors): 8 bytes little-endian length of the header, a
JSON object ``name -> {dtype, shape, data_offsets}``, then the data without gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from typing_extensions import override

from ....errors import CheckpointError
from .closing import HoldsFiles
from .fields import parse_json_object, printable, shown
from .raw_file import RawFile

__all__ = ["HeaderEntry", "SafetensorsFile"]

_HEADER_LIMIT = 100_000_000   # bytes, as in the reference implementation
_SIZE_LIMIT = 1 << 62
_MAX_AXES = 8

# Stored types by their names in the header. BF16 has no numpy type; its bits are read instead.
_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F8_E4M3": "u1", "F8_E5M2": "u1", "F8_E8M0": "u1",
    "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}


@dataclass(frozen=True)
class HeaderEntry:
    """One entry of the header: ``begin`` and ``end`` count bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.end - self.begin


class SafetensorsFile(HoldsFiles):
    """A safetensors file, open for reading, or ``mapped`` for views; a context manager.

    ``tensors`` maps names to entries. Opening reads the header only, and checks that
    every type is known, every size is shape times item size, and the tensors fill the
    file without gap or overlap.

    Raises
    ------
    CheckpointError
        The file cannot be opened, is truncated, or its header lies; names the file and,
        where one is at fault, the tensor.
    """

    def __init__(self, path: Path, mapped: bool = False) -> None:
        self.path = path
        self._file = RawFile(path, mapped)
        try:
            self._tensors = self._read_header()
            self.tensors: Mapping[str, HeaderEntry] = MappingProxyType(self._tensors)
        except BaseException:
            self._file.close()
            raise

    @override
    def close(self) -> None:
        self._file.close()

    def view(self, name: str) -> np.ndarray:
        """A whole tensor as ``read`` gives it, uncopied if the file is mapped: see ``RawFile``."""
        tensor = self.tensors[name]
        return self._file.view(name, tensor.begin, tensor.shape, np.dtype(_DTYPES[tensor.dtype]))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows ``start`` to ``stop`` along the first axis (all of a scalar), as stored.

        BF16 comes as its uint16 bit patterns, FP8 as uint8.

        Raises
        ------
        CheckpointError
            The file ends early or cannot be read.
        """
        tensor = self.tensors[name]
        dtype = np.dtype(_DTYPES[tensor.dtype])
        if not tensor.shape:
            return self._file.read(name, tensor.begin, (), dtype)
        stop = tensor.shape[0] if stop is None else stop
        if not 0 <= start <= stop <= tensor.shape[0]:
            raise ValueError(f"{name} has {tensor.shape[0]} rows, not rows {start} to {stop}")
        row_bytes = math.prod(tensor.shape[1:]) * dtype.itemsize
        shape = (stop - start, *tensor.shape[1:])
        return self._file.read(name, tensor.begin + start * row_bytes, shape, dtype)

    def piece(self, name: str, index: int, shape: tuple[int, ...]) -> str:
        """Make piece ``index`` of tensor ``name``, which is made of pieces of ``shape``, a tensor.

        Gives the name that it gets in ``tensors``.
        """
        whole = self.tensors[name]
        nbytes = math.prod(shape) * np.dtype(_DTYPES[whole.dtype]).itemsize
        begin = whole.begin + index * nbytes
        if whole.nbytes % nbytes or not whole.begin <= begin < whole.end:
            raise ValueError(f"{name} of shape {whole.shape} has no piece {index} of {shape}")
        piece = f"{name}[{index}]"
        self._tensors[piece] = HeaderEntry(whole.dtype, shape, begin, begin + nbytes)
        return piece

    def _read_header(self) -> dict[str, HeaderEntry]:
        size = self._file.size
        prefix = bytearray(8)
        if not self._file.fill(memoryview(prefix), 0):
            raise CheckpointError(f"{self.path} has {size} bytes; it is no safetensors file")
        length = int.from_bytes(prefix, "little")
        if length > min(_HEADER_LIMIT, size - 8):
            raise CheckpointError(
                f"{self.path} has {size} bytes but claims a header of {length}; it is damaged, cut "
                "short, or no safetensors file"
            )
        where = f"{self.path}: the safetensors header"
        text = bytearray(length)
        if not self._file.fill(memoryview(text), 8):
            raise CheckpointError(f"{where} ends early; the file was cut short")
        header = parse_json_object(text, where)
        self._check_metadata(header.pop("__metadata__", None))
        data = 8 + length
        tensors = {name: self._entry(name, value, data) for name, value in header.items()}
        self._check_cover(tensors, data, size)
        return tensors

    def _check_metadata(self, metadata: Any) -> None:
        if metadata is None:
            return
        if not isinstance(metadata, dict) or not all(
            isinstance(value, str) for value in metadata.values()
        ):
            raise CheckpointError(
                f"{self.path}: __metadata__ is {shown(metadata)}; it must map words to words"
            )

    def _entry(self, name: str, value: Any, data: int) -> HeaderEntry:
        """Check one entry by itself; ``data`` is where the header ends."""
        fault = f"{self.path}: the header entry of {printable(name)}"
        if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
            raise CheckpointError(f"{fault} is {shown(value)}, without dtype, shape, data_offsets")
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            known = ", ".join(_DTYPES)
            raise CheckpointError(f"{fault} has the dtype {shown(dtype)}; known are {known}")
        if not _are_sizes(shape) or len(shape) > _MAX_AXES:
            raise CheckpointError(f"{fault} has the shape {shown(shape)}, no list of sizes")
        if not _are_sizes(offsets) or len(offsets) != 2:
            raise CheckpointError(f"{fault} has data_offsets {shown(offsets)}, no begin and end")
        expected = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
        if offsets[1] - offsets[0] != expected:
            raise CheckpointError(
                f"{fault} has data_offsets {offsets}, {offsets[1] - offsets[0]} bytes; {dtype} of "
                f"shape {shape} takes {expected}"
            )
        return HeaderEntry(dtype, tuple(shape), data + offsets[0], data + offsets[1])

    def _check_cover(self, tensors: dict[str, HeaderEntry], data: int, size: int) -> None:
        """The tensors must follow each other from ``data`` to the file's end."""
        position = data
        for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
            fault = f"{self.path}: the data of {printable(name)}"
            if tensor.begin < position:
                raise CheckpointError(f"{fault} overlaps that of the tensor before it")
            if tensor.begin > position:
                raise CheckpointError(f"{fault} begins after a gap; it must follow the one before")
            if tensor.end > size:
                raise CheckpointError(
                    f"{fault} ends at byte {tensor.end} of a file of {size}; it was cut short"
                )
            position = tensor.end
        if position != size:
            raise CheckpointError(
                f"{self.path} has {size - position} bytes behind its last tensor; it is damaged"
            )


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < _SIZE_LIMIT for size in value
    )
