"""What every number format is: a way to turn a float32 matrix into packed bytes and back."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from ...errors import FormatError
from .parameters import written
from .rotation import Rotation

__all__ = ["Codes", "Format", "PackedWeight", "TensorLayout"]

Kind = TypeVar("Kind")

_VERIFIED_VALUES = 4 << 20   # unpacked at a time


@dataclass(frozen=True)
class Codes:
    """A quantized matrix before packing.

    ``values`` is [M, K] (int8, or uint8 for codes that are bit patterns); ``scale`` is float32
    [1, 1], [M, 1] or [M, K / group_size]; ``zero_point`` has the shape of ``scale`` or is absent;
    ``global_scale``, float32 [1, 1], divides all scales of a tensor where there is one.
    """

    values: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray | None = None
    global_scale: np.ndarray | None = None


@dataclass(frozen=True)
class TensorLayout:
    """Shape and dtype of one stored tensor, known before any weight is read."""

    dtype: np.dtype
    shape: tuple[int, ...]
    per_row: bool   # its first axis is M, so that row blocks concatenate to the whole

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class PackedWeight:
    """A quantized [M, K] matrix as it lies in a file: its format and its stored tensors."""

    format: Format
    shape: tuple[int, int]
    tensors: Mapping[str, np.ndarray]
    rotation: Rotation | None = None   # which the inputs have to go through first

    def format_as(self, kind: type[Kind]) -> Kind:
        """The format, which must be a ``kind``; raise ``FormatError`` if it is another."""
        if not isinstance(self.format, kind):
            raise FormatError(f"{self.format.name} is no format of the class {kind.__name__}")
        return self.format

    def codes(self) -> Codes:
        """Unpack all rows."""
        return self.format.unpack(self.tensors, self.shape)

    def dequantize(self) -> np.ndarray:
        """The float32 [M, K] matrix that the packed bytes, rotation included, stand for."""
        rows = self.format.dequantize(self.codes())
        return rows if self.rotation is None else self.rotation.rows(rows)

    @property
    def nbytes(self) -> int:
        """Stored size in bytes, scales included."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


class Format(ABC):
    """One number format with its parameters. Subclasses are frozen dataclasses.

    A matrix is encoded in row blocks, so that a tensor larger than memory can pass through:
    ``statistics`` sees all blocks first (only formats with a per-tensor scale need it), then
    ``encode`` and ``pack`` handle one block at a time; packed blocks of a ``per_row`` tensor
    concatenate along axis 0.
    """

    name: ClassVar[str]
    kernel: ClassVar[str] = ""   # multiplies by its codes: a name of ``runtime.linear.KERNELS``
    opposites: ClassVar[Mapping[str, str]] = {}   # by parameter that is true or false, the word
                                                  # for false; "no-" and its name otherwise

    def __str__(self) -> str:
        """One string, from which ``grammar.parse_format`` builds this format again."""
        return written(self.name, self)

    def check(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Raise ``FormatError``, naming ``tensor``, if a weight of ``shape`` does not fit."""
        if len(shape) != 2 or 0 in shape:
            raise FormatError(
                f"{tensor}: {self.name} holds a matrix [M, K] with at least one row and one "
                f"column, not a tensor of shape {list(shape)}"
            )

    @abstractmethod
    def layout(self, shape: tuple[int, int]) -> dict[str, TensorLayout]:
        """The stored tensors by suffix (``packed``, ``scale``, ``zero_point``), in file order."""

    def statistics(self, blocks: Iterable[np.ndarray]) -> np.ndarray | None:
        """What ``encode`` must know of the whole tensor, from float32 row blocks (or nothing)."""
        del blocks
        return None

    def encode(self, rows: np.ndarray, statistics: np.ndarray | None = None) -> Codes:
        """Quantize finite float32 rows [R, K]; round to nearest, ties to even.

        ``statistics`` is what the method of that name returned for the whole tensor; None says
        that ``rows`` are the whole tensor. Raises ``FormatError`` (without the tensor's name) if
        ``rows`` are no float32 matrix that fits, or a scale overflows.
        """
        if not isinstance(rows, np.ndarray) or rows.dtype != np.float32:
            kind = getattr(rows, "dtype", type(rows).__name__)
            raise FormatError(f"{self.name} encodes a float32 matrix [R, K], not {kind}")
        self.check("rows", rows.shape)
        return self.encode_rows(rows, statistics)

    @abstractmethod
    def encode_rows(self, rows: np.ndarray, statistics: np.ndarray | None) -> Codes:
        """What ``encode`` says, of ``rows`` that are seen to be float32 and to fit."""

    @abstractmethod
    def pack(self, codes: Codes) -> dict[str, np.ndarray]:
        """Bytes of a row block, by the suffixes and dtypes of ``layout``."""

    @abstractmethod
    def unpack(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Codes:
        """Inverse of ``pack``. Raise ``FormatError`` on codes that no encoder writes.

        ``shape`` is [M, K] of the rows that ``tensors`` hold: a row block unpacks alone.
        """

    def verify(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]) -> None:
        """Raise ``FormatError`` where ``unpack`` would; a format may know how to without unpacking.

        Here rows are unpacked, a block at a time.
        """
        M, K = shape
        layout = self.layout(shape)
        step = max(1, _VERIFIED_VALUES // K)
        for start in range(0, M, step):
            stop = min(start + step, M)
            rows = {
                suffix: tensor[start:stop] if layout[suffix].per_row else tensor
                for suffix, tensor in tensors.items()
            }
            self.unpack(rows, (stop - start, K))

    @abstractmethod
    def dequantize(self, codes: Codes) -> np.ndarray:
        """The float32 [M, K] matrix that ``codes`` stand for."""

    def spec(self) -> dict[str, Any]:
        """JSON description from which ``registry.format_from_spec`` builds this format again."""
        return {"format": self.name, **dataclasses.asdict(self)}   # type: ignore[call-overload]

    def stored_bits_per_weight(self, shape: tuple[int, int]) -> float:
        """Bits per weight as stored, scales and padding included."""
        total = sum(tensor.nbytes for tensor in self.layout(shape).values())
        return 8 * total / (shape[0] * shape[1])

    def quantize(self, weight: np.ndarray, tensor: str = "weight") -> PackedWeight:
        """Quantize a whole float32 [M, K] matrix. ``tensor`` is its name for error messages."""
        self.check(tensor, weight.shape)
        rows = np.ascontiguousarray(weight, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise FormatError(f"{tensor}: NaN or infinity cannot be quantized")
        try:
            codes = self.encode(rows, self.statistics([rows]))
        except FormatError as error:
            raise FormatError(f"{tensor}: {error}") from None
        shape = (weight.shape[0], weight.shape[1])
        return PackedWeight(self, shape, self.pack(codes))

    def checked(
        self, tensors: Mapping[str, np.ndarray], shape: tuple[int, int]
    ) -> Mapping[str, np.ndarray]:
        """``tensors``, if they are those of ``layout(shape)`` in shape and dtype.

        Raises ``FormatError`` on a missing or differing tensor, and on a scale that is none (see
        ``check_scale``).
        """
        for suffix, layout in self.layout(shape).items():
            if suffix not in tensors:
                raise FormatError(f"{self.name} needs a tensor {suffix!r}; got {sorted(tensors)}")
            found = tensors[suffix]
            if found.shape != layout.shape or found.dtype != layout.dtype:
                raise FormatError(
                    f"{self.name} needs {suffix!r} as {layout.dtype} {list(layout.shape)} for a "
                    f"weight of shape {list(shape)}, not as {found.dtype} {list(found.shape)}"
                )
        self.check_scale(tensors["scale"])
        if "global_scale" in tensors:
            self._check_positive(tensors["global_scale"])
        return tensors

    def check_scale(self, scale: np.ndarray) -> None:
        """Raise ``FormatError`` unless every stored ``scale`` stands for a number above zero."""
        self._check_positive(scale)

    def _check_positive(self, scale: np.ndarray) -> None:
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise FormatError(f"{self.name} has a scale that is not a finite number above zero")
