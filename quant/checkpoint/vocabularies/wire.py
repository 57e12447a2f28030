"""Protocol buffers of a stranger, field by field, without the library and its descriptors.

The encoding is that of protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import CheckpointError

__all__ = ["fields"]

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_VARINT = 10


def fields(data: memoryview, where: str) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: an integer, or its bytes (4, 8 or counted).

    Raises ``CheckpointError``, beginning with ``where``, if the message ends inside of a field or
    has one of a kind that there is not.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at, where)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at, where)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            count, at = _varint(data, at, where)
        elif kind in (_EIGHT, _FOUR):
            count = 8 if kind == _EIGHT else 4
        else:
            raise CheckpointError(f"{where} is no protocol buffer: a field of the kind {kind}")
        if count > len(data) - at:
            raise CheckpointError(f"{where} ends inside of a field; it is damaged or was cut short")
        yield key >> 3, data[at : at + count]
        at += count


def _varint(data: memoryview, at: int, where: str) -> tuple[int, int]:
    """An integer of up to 64 bits, and where the next byte is."""
    value = 0
    for index, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value & (1 << 64) - 1, at + index + 1
    raise CheckpointError(f"{where} ends inside of a number; it is damaged or was cut short")
