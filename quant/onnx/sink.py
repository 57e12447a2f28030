"""Where the tensors of a written model go: into the model itself, or into a file beside it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from onnx import StringStringEntryProto, TensorProto

from ...errors import OutputError

__all__ = ["TensorSink", "external_tensor"]

_INLINE_BYTES = 1024    # smaller tensors stay in the model: shapes, constants, whole norms of tests
_ALIGNMENT = 64
_LARGE_BYTES = 1 << 20
_PAGE = 4096            # large tensors begin on a page, so that they can be mapped


class TensorSink:
    """Turns arrays into ``TensorProto``; a context manager.

    Parameters
    ----------
    data
        The file beside the model that takes the bytes of all but small tensors; None keeps them
        in the model.
    location
        What the model calls that file; None: by its name.

    Raises
    ------
    OSError
        The disk is full, or the like.
    """

    def __init__(self, data: Path | None, location: str | None = None) -> None:
        self._data = data
        self._location = location or (data.name if data else "")
        self._file = data.open("xb") if data else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self._file is None:
            return
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()

    def array(self, name: str, values: np.ndarray) -> TensorProto:
        """A tensor of one of numpy's types."""
        kind = {"f4": "FLOAT", "f2": "FLOAT16", "i8": "INT64", "i4": "INT32", "u1": "UINT8",
                "i1": "INT8", "b1": "BOOL"}[values.dtype.str[1:]]
        return self.stored(name, kind, values.shape, [values])

    def stored(
        self, name: str, kind: str, shape: tuple[int, ...], blocks: Iterable[np.ndarray],
        nbytes: int | None = None,
    ) -> TensorProto:
        """A tensor of ``onnx.TensorProto``'s type ``kind``, its bytes given in ``blocks``.

        ``nbytes`` says how many there will be, where the blocks are not one array.
        """
        blocks = iter(blocks)
        tensor = TensorProto(name=name, data_type=TensorProto.DataType.Value(kind), dims=shape)
        if nbytes is None:
            first = next(blocks)
            nbytes, blocks = first.nbytes, iter([first])
        if self._file is None or nbytes < _INLINE_BYTES:
            tensor.raw_data = b"".join(_bytes(block) for block in blocks)
            written = len(tensor.raw_data)
        else:
            written = self._append(self._file, tensor, blocks, nbytes)
        if written != nbytes:
            raise OutputError(f"{name} got {written} of {nbytes} bytes")
        return tensor

    def _append(self, file: BinaryIO, tensor: TensorProto, blocks: Iterable[np.ndarray],
                nbytes: int) -> int:
        alignment = _PAGE if nbytes >= _LARGE_BYTES else _ALIGNMENT
        file.write(bytes(-file.tell() % alignment))
        begin = file.tell()
        for block in blocks:
            file.write(_bytes(block))
        external_tensor(tensor, self._location, begin, nbytes)
        return file.tell() - begin


def external_tensor(tensor: TensorProto, location: str, offset: int, nbytes: int) -> None:
    """Say that the bytes of ``tensor`` lie in the file ``location`` beside the model."""
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", nbytes)):
        tensor.external_data.append(StringStringEntryProto(key=key, value=str(value)))


def _bytes(block: np.ndarray) -> bytes | memoryview:
    block = np.ascontiguousarray(block)
    return block.reshape(-1).view(np.uint8).data if math.prod(block.shape) else b""
