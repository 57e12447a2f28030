"""Where a tensor's bytes are: in the model, in its file, or in a file beside it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, numpy_helper

from ...errors import CheckpointError
from ...tools.files import open_regular
from ..checkpoint.files.fields import printable

__all__ = ["FLOAT_TYPES", "Payload", "Payloads", "tensor_nbytes", "type_name"]

# Bits of an element, by the type's name; STRING has no width.
_BITS = {
    "FLOAT": 32, "UINT8": 8, "INT8": 8, "UINT16": 16, "INT16": 16, "INT32": 32, "INT64": 64,
    "BOOL": 8, "FLOAT16": 16, "DOUBLE": 64, "UINT32": 32, "UINT64": 64, "COMPLEX64": 64,
    "COMPLEX128": 128, "BFLOAT16": 16, "FLOAT8E4M3FN": 8, "FLOAT8E4M3FNUZ": 8, "FLOAT8E5M2": 8,
    "FLOAT8E5M2FNUZ": 8, "UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "FLOAT8E8M0": 8, "UINT2": 2,
    "INT2": 2, "FLOAT6E2M3": 6, "FLOAT6E3M2": 6,
}
FLOAT_TYPES = {"FLOAT": "<f4", "FLOAT16": "<f2", "BFLOAT16": "<u2"}   # bfloat16 by its bits
_SIZE_LIMIT = 1 << 62
_SHARES = 2   # tensors that may lie in the same bytes, in the mean
_MAX_AXES = 64
_TYPED_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data",
                 "uint64_data")
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Payload:
    """Bytes of a tensor: ``data`` itself, or ``length`` bytes of ``file`` from ``offset`` on."""

    length: int
    data: bytes | None = None
    file: Path | None = None
    offset: int = 0


class Payloads:
    """Finds and reads the bytes of a model's tensors.

    Parameters
    ----------
    path
        The model's file. Other files are read only if they lie in its folder or below, links
        followed.
    marks
        What ``Skeleton.payloads`` says of tensors in the model's file.
    """

    def __init__(self, path: Path, marks: dict[bytes, tuple[int, int]]) -> None:
        self._path = path
        self._folder = path.resolve().parent
        self._marks = marks

    def find(self, tensor: TensorProto) -> Payload | None:
        """The checked place of a tensor's bytes; None where they are in typed fields.

        Raises
        ------
        CheckpointError
            Shape, type, length or place contradict each other, or lead outside of the folder.
        """
        nbytes = tensor_nbytes(tensor, self._fault(tensor))
        if tensor.data_location == TensorProto.EXTERNAL:
            payload = self._external(tensor, nbytes)
        elif tensor.HasField("raw_data"):
            payload = self._raw(tensor)
        else:
            self._check_typed(tensor)
            return None
        if nbytes is None or payload.length != nbytes:
            raise CheckpointError(
                f"{self._fault(tensor)} has {payload.length} bytes; {type_name(tensor)} of shape "
                f"{list(tensor.dims)} takes {nbytes}"
            )
        return payload

    def files(self, tensors: list[TensorProto]) -> list[Path]:
        """The model's file and every other one that ``tensors`` lie in."""
        places = [self.find(tensor) for tensor in tensors]
        others = {place.file for place in places if place is not None and place.file}
        return [self._path, *sorted(others - {self._path})]

    def check_shares(self, tensors: Iterable[TensorProto]) -> None:
        """Refuse tensors that take far more bytes than the files that they lie in.

        Tied weights may share bytes; a small file whose tensors all do would fill memory and disk.

        Raises
        ------
        CheckpointError
            As ``find`` does, or all tensors in files take more than ``_SHARES`` times their bytes.
        """
        lengths: dict[Path, int] = defaultdict(int)
        for tensor in tensors:
            place = self.find(tensor)
            if place is not None and place.file is not None:
                lengths[place.file] += place.length
        stored = sum(file.stat().st_size for file in lengths)
        if sum(lengths.values()) > _SHARES * stored:
            raise CheckpointError(
                f"{self._path}: its tensors take {sum(lengths.values())} bytes, and the files that "
                f"they lie in have {stored}; tensors may share bytes, but not {_SHARES} times over"
            )

    def read(self, tensor: TensorProto) -> np.ndarray:
        """A float tensor of ``FLOAT_TYPES`` as stored, in its shape; bfloat16 as uint16 bits."""
        dtype = np.dtype(FLOAT_TYPES[type_name(tensor)])
        payload = self.find(tensor)
        if payload is None:
            return _typed_array(tensor, dtype)
        if payload.data is not None:
            return np.frombuffer(payload.data, dtype).reshape(tensor.dims)
        array = np.empty(math.prod(tensor.dims), dtype)
        target = array.data.cast("B") if array.nbytes else memoryview(b"")
        done = 0
        for block in self.blocks(payload):
            target[done:done + len(block)] = block
            done += len(block)
        return array.reshape(tensor.dims)

    def blocks(self, payload: Payload) -> Iterator[bytes]:
        """The bytes of a payload, in pieces of 4 MiB."""
        if payload.data is not None:
            yield payload.data
            return
        try:
            assert payload.file is not None, "a payload is data, or lies in a file"
            with open_regular(payload.file, CheckpointError) as file:
                file.seek(payload.offset)
                left = payload.length
                while left:
                    block = file.read(min(left, _BLOCK_BYTES))
                    if not block:
                        raise CheckpointError(f"{payload.file} became shorter while it was read")
                    left -= len(block)
                    yield block
        except OSError as error:
            raise CheckpointError(f"{payload.file} cannot be read: {error.strerror}") from None

    def _raw(self, tensor: TensorProto) -> Payload:
        raw = tensor.raw_data
        if raw in self._marks:
            offset, length = self._marks[raw]
            return Payload(length, file=self._path, offset=offset)
        return Payload(len(raw), data=raw)

    def _external(self, tensor: TensorProto, nbytes: int | None) -> Payload:
        fault = self._fault(tensor)
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = self._inside(entries.get("location", ""), fault)
        offset = _whole_number(entries.get("offset", "0"), f"{fault}: its offset")
        try:
            size = file.stat().st_size
        except OSError as error:
            raise CheckpointError(f"{fault}: {file} cannot be read: {error.strerror}") from None
        length = _whole_number(entries.get("length", str(nbytes or 0)), f"{fault}: its length")
        if offset + length > size:
            raise CheckpointError(
                f"{fault} lies in {file} from byte {offset} to {offset + length}, but that file "
                f"has {size}"
            )
        return Payload(length, file=file, offset=offset)

    def _inside(self, location: str, fault: str) -> Path:
        """The file that ``location`` names, if it lies in the model's folder."""
        if not location or "\0" in location or Path(location).is_absolute():
            raise CheckpointError(
                f"{fault} is said to lie in {printable(location)!r}; external data must lie in a "
                "file of the model's folder, named relative to it"
            )
        try:
            file = (self._folder / location).resolve()
            inside, there = file.is_relative_to(self._folder), file.is_file()
        except (OSError, RuntimeError) as error:   # a name too long; links that lead in a circle
            raise CheckpointError(
                f"{fault} is said to lie in {printable(location[:60])!r}: {error.args[-1]}"
            ) from None
        if not inside:
            raise CheckpointError(
                f"{fault} is said to lie in {printable(location)!r}, which leads outside of the "
                "model's folder"
            )
        if not there:
            raise CheckpointError(f"{fault} lies in {file}, which is no file")
        return file

    def _check_typed(self, tensor: TensorProto) -> None:
        """Data in typed fields has as many entries as the shape says."""
        count = math.prod(tensor.dims)
        kind = type_name(tensor)
        held = sum(len(getattr(tensor, field)) for field in _TYPED_FIELDS)
        expected = count
        if kind in ("UINT4", "INT4", "FLOAT4E2M1"):
            expected = -(-count // 2)
        elif kind in ("UINT2", "INT2"):
            expected = -(-count // 4)
        elif kind.startswith("COMPLEX"):
            expected = 2 * count
        if held != expected:
            raise CheckpointError(
                f"{self._fault(tensor)} holds {held} numbers; its shape {list(tensor.dims)} takes "
                f"{expected}"
            )

    def _fault(self, tensor: TensorProto) -> str:
        return f"{self._path}: the tensor {printable(tensor.name)}"


def type_name(tensor: TensorProto) -> str:
    """The name of a tensor's type; UNDEFINED where there is none of its number."""
    known = TensorProto.DataType.values()
    return TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in known else "UNDEFINED"


def tensor_nbytes(tensor: TensorProto, fault: str) -> int | None:
    """Bytes that shape and type take; None for strings. Raises ``CheckpointError``."""
    if len(tensor.dims) > _MAX_AXES or any(size < 0 for size in tensor.dims):
        raise CheckpointError(f"{fault} has the shape {list(tensor.dims[:8])}, no list of sizes")
    count = math.prod(tensor.dims)
    if count > _SIZE_LIMIT:
        raise CheckpointError(f"{fault} has the shape {list(tensor.dims)}, which no memory holds")
    kind = type_name(tensor)
    if kind == "STRING":
        return None
    if kind not in _BITS:
        raise CheckpointError(f"{fault} has the type {tensor.data_type}, which is none of ONNX")
    return -(-count * _BITS[kind] // 8)


def _typed_array(tensor: TensorProto, dtype: np.dtype) -> np.ndarray:
    """Numbers out of ``float_data``, or the 16-bit patterns out of ``int32_data``."""
    if dtype.itemsize == 4:
        return numpy_helper.to_array(tensor)
    bits = np.array(tensor.int32_data, np.int64)
    return bits.astype(np.uint16).view(dtype).reshape(tensor.dims)


def _whole_number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise CheckpointError(f"{what} is {printable(text[:40])!r}; it must be a whole number")
    return int(text)
