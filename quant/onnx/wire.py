"""The bytes of a model taken apart before any library sees them.

``onnx`` parses a whole file at once: the weights with it, and every empty message of a hostile one
at a hundred times its size. So the file is walked here first: fields are counted, nesting is
limited, and the bytes of large tensors are left where they are, in the file, with a mark in
their place. What remains, the skeleton, is small, and is what ``onnx`` parses.

The encoding: https://protobuf.dev/programming-guides/encoding/; the fields are those that the
descriptors of ``onnx`` name.
"""

from __future__ import annotations

import io
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from onnx import ModelProto, TensorProto

from ...errors import CheckpointError
from ...tools.files import open_regular

__all__ = ["Skeleton", "read_skeleton"]

FIELD_LIMIT = 4_000_000        # a large language model's graph has some hundred thousand
SKELETON_LIMIT = 64 << 20      # bytes; tensors of 1 KiB and more are not counted if they are raw
DEPTH_LIMIT = 100              # as protobuf itself
_LARGE_BYTES = 1024
_MARK_BYTES = 24

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_RAW_DATA = TensorProto.RAW_DATA_FIELD_NUMBER


@dataclass(frozen=True)
class Skeleton:
    """A model's bytes without those of its large tensors.

    ``payloads`` maps the marks that stand in ``raw_data`` to offset and length in the file. Marks
    are drawn at random, so that no file can contain one.
    """

    data: bytes
    payloads: dict[bytes, tuple[int, int]]


def read_skeleton(path: Path) -> Skeleton:
    """Walk the file of a model.

    Raises
    ------
    CheckpointError
        It cannot be read, is cut short or no protocol buffer, has too many fields, too deep a
        nesting, or too many bytes outside of raw tensors.
    """
    try:
        with io.BufferedReader(open_regular(path, CheckpointError)) as file:
            size = os.fstat(file.fileno()).st_size
            walker = _Walker(path, file)
            data = walker.message(size, ModelProto.DESCRIPTOR, 0)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    return Skeleton(data, walker.payloads)


class _Walker:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.payloads: dict[bytes, tuple[int, int]] = {}
        self._path = path
        self._file = file
        self._position = 0
        self._fields = 0
        self._kept = 0
        self._nonce = secrets.token_bytes(_MARK_BYTES - 8)

    def message(self, end: int, kind: Descriptor, depth: int) -> bytes:
        """The message from here to ``end``, without large tensors."""
        if depth > DEPTH_LIMIT:
            raise self._refuse(f"nests messages deeper than {DEPTH_LIMIT}")
        parts: list[bytes] = []
        while self._position < end:
            self._fields += 1
            if self._fields > FIELD_LIMIT:
                raise self._refuse(f"has more than {FIELD_LIMIT} fields; no model needs so many")
            key, value = self._varint(end)
            parts.append(key)
            number, wire = value >> 3, value & 7
            if wire == _VARINT:
                parts.append(self._varint(end)[0])
            elif wire in _FIXED_WIDTH:
                parts.append(self._take(_FIXED_WIDTH[wire], end))
            elif wire == _BYTES:
                parts += self._delimited(number, end, kind, depth)
            else:
                raise self._refuse(f"has a field of wire type {wire} at byte {self._position}")
        return b"".join(parts)

    def _delimited(self, number: int, end: int, kind: Descriptor, depth: int) -> list[bytes]:
        """Length and content of the field ``number`` of a message of ``kind``."""
        prefix, length = self._varint(end)
        if length > end - self._position:
            raise self._refuse(
                f"is cut short or damaged: at byte {self._position} a field claims {length} bytes "
                f"where {end - self._position} are left"
            )
        field = kind.fields_by_number.get(number)
        if field is not None and field.message_type is not None:
            content = self.message(self._position + length, field.message_type, depth + 1)
            return [_encode(len(content)), content]
        tensor = kind.full_name == TensorProto.DESCRIPTOR.full_name
        if tensor and number == _RAW_DATA and length >= _LARGE_BYTES:
            return [_encode(_MARK_BYTES), self._leave(length)]
        content = self._take(length, end)
        if field is not None and field.type == FieldDescriptor.TYPE_STRING:
            self._check_text(content, field.name)
        return [prefix, content]

    def _check_text(self, content: bytes, field: str) -> None:
        """Names must be UTF-8: protobuf hands others on as bytes."""
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            raise self._refuse(
                f"has a {field} that is not UTF-8 before byte {self._position}"
            ) from None

    def _leave(self, length: int) -> bytes:
        """Skip a tensor's bytes; the mark that stands for them."""
        mark = self._nonce + len(self.payloads).to_bytes(8, "little")
        self.payloads[mark] = (self._position, length)
        self._position += length
        self._file.seek(self._position)
        return mark

    def _take(self, count: int, end: int) -> bytes:
        if count > end - self._position:
            raise self._refuse(f"is cut short at byte {self._position}")
        self._kept += count
        if self._kept > SKELETON_LIMIT:
            raise self._refuse(
                f"has more than {SKELETON_LIMIT >> 20} MiB outside of raw tensors; save its "
                "weights as raw data (onnx.numpy_helper.from_array makes such tensors)"
            )
        data = self._file.read(count)
        if len(data) != count:
            raise self._refuse("became shorter while it was read")
        self._position += count
        return data

    def _varint(self, end: int) -> tuple[bytes, int]:
        """The bytes of an integer, and its value."""
        data, value = b"", 0
        for shift in range(0, 70, 7):
            byte = self._take(1, end)
            data += byte
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return data, value
        raise self._refuse(f"has an integer of more than ten bytes at byte {self._position}")

    def _refuse(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self._path} {what}; it is no ONNX model that can be read")


def _encode(value: int) -> bytes:
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
