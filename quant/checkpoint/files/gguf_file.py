"""GGUF files that nobody vouches for: every count, length, type and offset is checked, then rows
are read.

The layout (ggml's docs/gguf.md, versions 2 and 3, little-endian): "GGUF", version, tensor count,
metadata count; the metadata as key, type, value; per tensor its name, extents (innermost first),
type and offset; then, from the next multiple of ``general.alignment`` on, the data, each tensor
padded to that multiple.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from ....errors import CheckpointError
from .closing import HoldsFiles
from .fields import printable, shown
from .gguf_blocks import TYPES, BlockType
from .raw_file import RawFile

__all__ = ["ALIGNMENT", "MAGIC", "GgufFile", "GgufTensor"]

MAGIC = b"GGUF"
ALIGNMENT = 32   # where the metadata does not say
_VERSIONS = (2, 3)
_BY_NUMBER = {type.number: type for type in TYPES.values()}
_OTHER_NUMBERS = {   # for the message that one of them is not read
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
    22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 36: "I2_S",
    40: "NVFP4",
}
# Metadata value types by number: struct's letter, and numpy's dtype in arrays.
_SCALARS = {
    0: ("B", "u1"), 1: ("b", "i1"), 2: ("<H", "<u2"), 3: ("<h", "<i2"), 4: ("<I", "<u4"),
    5: ("<i", "<i4"), 6: ("<f", "<f4"), 7: ("B", "u1"), 10: ("<Q", "<u8"), 11: ("<q", "<i8"),
    12: ("<d", "<f8"),
}
_FLOAT32, _BOOL, _STRING, _ARRAY = 6, 7, 8, 9
_SMALLEST_ENTRY = 13        # bytes of a metadata entry: an empty key, its type, one byte
_SMALLEST_TENSOR = 32       # bytes of a tensor's description
_KEY_LIMIT = 65535
_NAME_LIMIT = 255
_STRING_LIMIT = 16 << 20
_HEADER_LIMIT = 512 << 20   # bytes; the largest public vocabularies take some 30 MB
_STRINGS_LIMIT = 1 << 22    # elements of an array: each becomes an object
_ALIGNMENT_LIMIT = 1 << 20
_MAX_AXES = 4
_SIZE_LIMIT = 1 << 62
_CHUNK = 1 << 20


_Described = tuple[str, tuple[int, ...], BlockType, int]   # name, shape, type, offset


@dataclass(frozen=True)
class GgufTensor:
    """One tensor: ``shape`` with the rows' length last, as numpy has it; ``begin`` in the file."""

    type: BlockType
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape[:-1]) * self.type.row_bytes(self.shape[-1])


class GgufFile(HoldsFiles):
    """A GGUF file, open for reading; a context manager.

    Attributes
    ----------
    metadata
        Key to value: int, float (a float32 as the shortest decimal that rounds to it), bool, str,
        a numpy array, or a list of str.
    tensors
        Name to tensor, in the file's order.

    Raises
    ------
    CheckpointError
        The file cannot be opened, is no GGUF file, is cut short, or its header lies; names the
        file and, where one is at fault, the key or tensor.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = RawFile(path)
        try:
            header = _Header(self._file)
            self.metadata: Mapping[str, Any] = header.metadata
            self.tensors: Mapping[str, GgufTensor] = header.tensors
        except OSError as error:
            self._file.close()
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        except BaseException:
            self._file.close()
            raise

    @override
    def close(self) -> None:
        self._file.close()

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows ``start`` to ``stop`` as stored: uint8 [R, bytes of a row].

        The axes before the last one count together; a vector is one row. Raises
        ``CheckpointError`` where the file ends early or cannot be read.
        """
        tensor = self.tensors[name]
        count = math.prod(tensor.shape[:-1])
        stop = count if stop is None else stop
        if not 0 <= start <= stop <= count:
            raise ValueError(f"{name} has {count} rows, not rows {start} to {stop}")
        width = tensor.type.row_bytes(tensor.shape[-1])
        begin = tensor.begin + start * width
        return self._file.read(name, begin, (stop - start, width), np.dtype(np.uint8))


class _Header:
    """Reads a file from its start; never more than the file has, however much it claims."""

    def __init__(self, file: RawFile) -> None:
        self._file = file
        self._where = str(file.path)
        self._position = 0
        self._buffer = b""
        self._buffered_at = 0
        self._check_magic()
        tensors, entries = self._number("<Q"), self._number("<Q")
        self._check_count("tensors", tensors, _SMALLEST_TENSOR)
        self._check_count("metadata entries", entries, _SMALLEST_ENTRY)
        self.metadata: dict[str, Any] = {}
        for _ in range(entries):
            self._entry()
        alignment = self._alignment()
        described = [self._tensor() for _ in range(tensors)]
        self.tensors = self._placed(described, alignment)

    def _check_magic(self) -> None:
        size = self._file.size
        if size < 24 or self._take(4) != MAGIC:
            raise CheckpointError(f"{self._where} has {size} bytes and is no GGUF file")
        version = self._number("<I")
        if version not in _VERSIONS:
            swapped = version & 0xFFFF == 0
            kind = "a big-endian file" if swapped else f"version {version}"
            raise CheckpointError(f"{self._where} is {kind} of GGUF; versions 2 and 3 are read")

    def _check_count(self, what: str, count: int, smallest: int) -> None:
        if count > (self._file.size - self._position) // smallest:
            raise CheckpointError(
                f"{self._where} claims {count} {what} in {self._file.size} bytes; it is damaged"
            )

    def _entry(self) -> None:
        key = self._text(_KEY_LIMIT, "a metadata key")
        kind = self._number("<I")
        if key in self.metadata:
            raise CheckpointError(f"{self._where}: the metadata key {printable(key)} comes twice")
        self.metadata[key] = self._value(key, kind)

    def _value(self, key: str, kind: int) -> Any:
        where = f"the metadata of {printable(key)}"
        if kind == _STRING:
            return self._text(_STRING_LIMIT, where)
        if kind == _ARRAY:
            return self._array(where)
        if kind not in _SCALARS:
            raise CheckpointError(f"{self._where}: {where} has the type {kind}, which is none")
        value = self._number(_SCALARS[kind][0])
        if kind == _FLOAT32:
            return float(str(np.float32(value)))
        return bool(value) if kind == _BOOL else value

    def _array(self, where: str) -> np.ndarray | list[str]:
        kind, count = self._number("<I"), self._number("<Q")
        if kind == _STRING:
            if count > min(_STRINGS_LIMIT, (self._file.size - self._position) // 8):
                raise CheckpointError(f"{self._where}: {where} claims {count} strings")
            return [self._text(_STRING_LIMIT, where) for _ in range(count)]
        if kind not in _SCALARS:
            raise CheckpointError(f"{self._where}: {where} is an array of type {kind}, not of "
                                  "numbers or strings")
        dtype = np.dtype(_SCALARS[kind][1])
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)

    def _text(self, limit: int, where: str) -> str:
        length = self._number("<Q")
        if length > limit:
            raise CheckpointError(
                f"{self._where}: {where} claims a string of {length} bytes; {limit} are the most"
            )
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self._where}: {where} is not UTF-8: {error}") from None

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _take(self, count: int) -> bytes:
        """The next ``count`` bytes, out of a buffer that is refilled in chunks."""
        if count > min(self._file.size, _HEADER_LIMIT) - self._position:
            raise CheckpointError(
                f"{self._where} ends inside of its header, or that is longer than "
                f"{_HEADER_LIMIT >> 20} MiB; it is damaged or was cut short"
            )
        begin = self._position - self._buffered_at
        if begin + count > len(self._buffer):
            self._refill(count)
            begin = 0
        self._position += count
        return self._buffer[begin : begin + count]

    def _refill(self, count: int) -> None:
        size = min(max(count, _CHUNK), self._file.size - self._position)
        buffer = bytearray(size)
        if not self._file.fill(memoryview(buffer), self._position):
            raise CheckpointError(f"{self._where} ends inside of its header; it was cut short")
        self._buffer, self._buffered_at = bytes(buffer), self._position

    def _alignment(self) -> int:
        alignment = self.metadata.get("general.alignment", ALIGNMENT)
        if (type(alignment) is not int or not 1 <= alignment <= _ALIGNMENT_LIMIT
                or alignment & alignment - 1):
            raise CheckpointError(
                f"{self._where}: general.alignment is {shown(alignment)}; it must be a power of two"
            )
        return alignment

    def _tensor(self) -> _Described:
        name = self._text(_NAME_LIMIT, "a tensor's name")
        fault = f"{self._where}: the tensor {printable(name)}"
        axes = self._number("<I")
        if not 1 <= axes <= _MAX_AXES:
            raise CheckpointError(f"{fault} has {axes} axes, not 1 to {_MAX_AXES}")
        shape = tuple(self._number("<Q") for _ in range(axes))[::-1]
        number, offset = self._number("<I"), self._number("<Q")
        if number not in _BY_NUMBER:
            other = _OTHER_NUMBERS.get(number, f"of the unknown type {number}")
            raise CheckpointError(f"{fault} is {other}; the types that are read are "
                                  f"{', '.join(TYPES)}")
        kind = _BY_NUMBER[number]
        if not all(1 <= extent < _SIZE_LIMIT for extent in shape) or shape[-1] % kind.values:
            raise CheckpointError(
                f"{fault} has the shape {list(shape)}; rows of {kind.name} are whole blocks of "
                f"{kind.values}"
            )
        return name, shape, kind, offset

    def _placed(self, described: list[_Described], alignment: int) -> dict[str, GgufTensor]:
        """The tensors; the number of Q2_0 means PrismML's PQ2_0 where only that fits the file."""
        narrow, wide = TYPES["Q2_0"], TYPES["PQ2_0"]
        others = [
            (name, shape, wide if kind is narrow and shape[-1] % wide.values == 0 else kind, offset)
            for name, shape, kind, offset in described
        ]
        if others == described:
            return self._place(described, alignment)
        try:
            tensors = self._place(described, alignment)
        except CheckpointError as error:
            try:
                return self._place(others, alignment)
            except CheckpointError:
                raise error from None
        try:
            last = list(self._place(others, alignment).values())[-1]
        except CheckpointError:
            return tensors
        if self._file.size - last.begin - last.nbytes < alignment:
            raise CheckpointError(
                f"{self._where}: tensors of type {narrow.number} fit the file in groups of 64 "
                "(Q2_0) and of 128 (as PrismML has it); it cannot be told which they are"
            )
        return tensors

    def _place(self, described: list[_Described], alignment: int) -> dict[str, GgufTensor]:
        """The tensors must follow each other, padded, from the header's padded end on."""
        data = -(-self._position // alignment) * alignment
        expected = 0
        tensors: dict[str, GgufTensor] = {}
        for name, shape, kind, offset in described:
            fault = f"{self._where}: the data of {printable(name)}"
            if name in tensors:
                raise CheckpointError(f"{self._where}: the tensor {printable(name)} comes twice")
            if offset != expected:
                raise CheckpointError(
                    f"{fault} is said to begin at {offset}; after the tensors before it comes "
                    f"{expected}"
                )
            tensor = GgufTensor(kind, shape, data + offset)
            if tensor.begin + tensor.nbytes > self._file.size:
                raise CheckpointError(
                    f"{fault} ends at byte {tensor.begin + tensor.nbytes} of a file of "
                    f"{self._file.size}; it was cut short"
                )
            expected += -(-tensor.nbytes // alignment) * alignment
            tensors[name] = tensor
        return tensors
