"""Where a tensor comes from: plain floats, BitNet's packed trits, or Trilobite's own formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ....errors import CheckpointError
from ...formats import Codes, Format, PackedWeight, Ternary
from ...formats.ternary import absmean_scale
from .floats import all_finite, check_finite, to_float32
from .locate import StoredEntry

__all__ = ["FLOATS", "PlainTensor", "TensorInfo", "TensorSource", "check_entry"]

_BLOCK_VALUES = 4 << 20   # 16 MiB of float32
FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of the model: its shape, and how it is stored.

    ``dtype`` is the type in the file ("F32", "F16", "BF16", or one of GGUF's), "ternary" for
    BitNet's packed trits, or the name of a Trilobite format or of another tool's layout; ``nbytes``
    counts the stored bytes, scales included. ``begin`` is where in ``file`` they lie, if they are
    those of floats, in one piece.
    """

    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    file: Path
    begin: int | None = None

    @property
    def matrix(self) -> tuple[int, int]:
        """Its shape [M, K]; raise ``ValueError`` if it has another number of axes."""
        M, K = self.shape
        return M, K

    @property
    def float_type(self) -> str:
        """The float type that holds its numbers exactly: that in the file, else "F32"."""
        return self.dtype if self.dtype in FLOATS else "F32"


class TensorSource(ABC):
    """One tensor of the model under its canonical name, checked and ready to be read."""

    def __init__(self, name: str, info: TensorInfo) -> None:
        self.name = name
        self.info = info

    @property
    def form(self) -> Format | None:
        """The format in which the model computes with this matrix; None: float32."""
        return None

    @property
    def rotated(self) -> bool:
        """Whether ``weight`` is stored for rotated inputs (``formats.rotation``)."""
        return False

    @property
    def stored_form(self) -> Format | None:
        """The format whose codes ``encoded`` gives, exactly; None: the file has no such codes.

        It differs from ``form`` where a tool stores codes but computes with floats.
        """
        return self.form

    @abstractmethod
    def rows(self, start: int, stop: int) -> np.ndarray:
        """Float32 rows ``start`` to ``stop`` along the first axis; reads those rows only."""

    def encoded(self, start: int, stop: int) -> Codes:
        """Codes of rows ``start`` to ``stop`` in ``stored_form``, which must not be None."""
        raise ValueError(f"{self.name} is stored as floats; it has no codes")

    @abstractmethod
    def weight(self) -> PackedWeight | np.ndarray:
        """What the runtime computes with."""

    def check_numbers(self, start: int, stop: int) -> None:
        """Raise ``CheckpointError`` at a NaN or infinity in rows ``start`` to ``stop``."""
        self.rows(start, stop)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Row ranges of about 16 MiB in float32 that together are the tensor."""
        rows = self.info.shape[0]
        width = int(np.prod(self.info.shape[1:], dtype=np.int64))
        step = max(1, _BLOCK_VALUES // max(1, width))
        for start in range(0, rows, step):
            yield start, min(start + step, rows)

    def read(self) -> np.ndarray:
        """The whole tensor as float32, read block by block."""
        whole = np.empty(self.info.shape, np.float32)
        for start, stop in self.blocks():
            whole[start:stop] = self.rows(start, stop)
        return whole


class PlainTensor(TensorSource):
    """Floats as they are. ``ternary`` marks BitNet's master weights, quantized on load.

    Raises
    ------
    CheckpointError
        The stored type or shape is not what the model calls for; on reading: a value is NaN or
        infinite.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], entry: StoredEntry, ternary: bool = False
    ) -> None:
        check_entry(entry, shape, FLOATS)
        stored = entry.tensor
        info = TensorInfo(shape, stored.dtype, stored.nbytes, entry.file.path, stored.begin)
        super().__init__(name, info)
        self._entry = entry
        self._form = Ternary() if ternary else None

    @property
    def form(self) -> Format | None:
        """Ternary for master weights."""
        return self._form

    @cached_property
    def _scale(self) -> np.ndarray:
        return absmean_scale(self.rows(start, stop) for start, stop in self.blocks())

    def encoded(self, start: int, stop: int) -> Codes:
        """Trits by absmean over the whole tensor, for master weights."""
        return self._form.encode(self.rows(start, stop), self._scale) if self._form else (
            super().encoded(start, stop)
        )

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Float32 rows, finite."""
        stored = self._entry.file.read(self._entry.name, start, stop)
        block = to_float32(stored, self.info.dtype)
        check_finite(self._entry, block, start)
        return block

    def check_numbers(self, start: int, stop: int) -> None:
        """Look at the exponents of the stored bits; see ``TensorSource``."""
        if not all_finite(self._entry.file.read(self._entry.name, start, stop), self.info.dtype):
            self.rows(start, stop)   # says where

    def weight(self) -> PackedWeight | np.ndarray:
        """Float32, or ternary by absmean for master weights."""
        if self._form:
            rows = self.read()
            codes = self._form.encode(rows, absmean_scale([rows]))
            M, K = self.info.shape
            return PackedWeight(self._form, (M, K), self._form.pack(codes))
        return self._view() if self.info.dtype == "F32" else self.read()

    def _view(self) -> np.ndarray:
        """The whole tensor as it lies in the file, block by block seen to be finite."""
        whole = self._entry.file.view(self._entry.name)
        for start, stop in self.blocks():
            check_finite(self._entry, whole[start:stop], start)
        return whole


def check_entry(entry: StoredEntry, shape: tuple[int, ...], dtypes: tuple[str, ...]) -> None:
    """Raise ``CheckpointError`` unless a stored tensor has this shape and one of these types."""
    tensor = entry.tensor
    if tensor.shape != shape:
        raise CheckpointError(
            f"{entry} has shape {list(tensor.shape)}; config.json calls for {list(shape)}"
        )
    if tensor.dtype not in dtypes:
        raise CheckpointError(f"{entry} is stored as {tensor.dtype}; it must be {_one_of(dtypes)}")


def _one_of(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
