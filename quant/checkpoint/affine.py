"""Weights that other tools store as codes, scales and zero points: what they stand for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from ..formats import Codes, Format, Int2, Int3, Int4, Int8
from ..formats.grouped_int import GroupedInt
from .files.floats import check_finite, to_float32
from .files.locate import StoredEntry
from .files.source import TensorInfo, TensorSource

__all__ = ["AffineRows", "AffineTensor", "LastRead", "stored_floats", "unpack_words"]

_GROUPED = {2: Int2, 3: Int3, 4: Int4}
_GROUP_SIZES = (32, 64, 128)


@dataclass(frozen=True)
class AffineRows:
    """Rows of a weight: ``(values - zero_point) * scale``, group by group.

    ``values`` [R, K] are integers (or float32 of small floats); ``scale`` float32 [R, groups];
    ``zero_point`` int [R, groups] or None.
    """

    values: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray | None


class LastRead:
    """Keeps what was made of the tensor that was read last, for the next block of its rows."""

    def __init__(self) -> None:
        self._owner: object = None
        self._value: Any = None

    def get(self, owner: object, make: Any) -> Any:
        """``make()``, or what it gave when ``owner`` last asked, if nobody else has since."""
        if self._owner is not owner:
            self._value = make()
            self._owner = owner
        return self._value


class AffineTensor(TensorSource):
    """A linear weight [M, K] in the codes of another tool; subclasses read blocks of them.

    The runtime computes with the float32 numbers that the codes stand for, as those tools do.
    ``stored_form`` is the format of ours that holds codes, scales and zero points as they are:
    INT4, INT3 or INT2 where groups follow each other and scales are float16 numbers, INT8 where
    there is one scale to a row.

    Parameters
    ----------
    name, shape
        Canonical.
    parts
        The stored tensors by suffix; the first one names the file.
    bits
        Bits of a code, or None for codes that are floats.
    group_index
        The stored tensor that gives each column its group, or None: groups follow each other.
    """

    kind: str

    def __init__(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry],
        bits: int | None, group_index: StoredEntry | None = None,
    ) -> None:
        entries = list(parts.values())
        nbytes = sum(entry.tensor.nbytes for entry in entries)
        super().__init__(name, TensorInfo(shape, self.kind, nbytes, entries[0].file.path))
        self.parts = parts
        self.bits = bits
        self._group_index = group_index

    @property
    @abstractmethod
    def groups(self) -> int:
        """Groups of a row."""

    @property
    def group_width(self) -> int:
        """Columns of a group."""
        return self.info.shape[1] // self.groups

    @property
    @abstractmethod
    def lowest(self) -> int:
        """The smallest code: 0, or -2**(bits - 1)."""

    @abstractmethod
    def block(self, start: int, stop: int) -> AffineRows:
        """Rows ``start`` to ``stop``."""

    def rows(self, start: int, stop: int) -> np.ndarray:
        """The float32 numbers that the rows stand for: difference, then product."""
        block = self.block(start, stop)
        columns = self._columns
        values = block.values.astype(np.float32)
        if block.zero_point is not None:
            values -= block.zero_point[:, columns]
        with np.errstate(invalid="ignore", over="ignore"):
            values *= block.scale[:, columns]
        check_finite(f"{self.info.file}: {self.name}", values, start)
        return values

    def weight(self) -> np.ndarray:
        """Float32."""
        return self.read()

    @property
    def form(self) -> Format | None:
        """None: these tools compute with floats."""
        return None

    @cached_property
    def stored_form(self) -> Format | None:
        """The format that holds the codes exactly, as the class says; None if there is none."""
        form = self._candidate()
        fits = form is not None and all(
            self._fits(form, self.block(start, stop)) for start, stop in self.blocks()
        )
        return form if fits else None

    @override
    def encoded(self, start: int, stop: int) -> Codes:
        form = self.stored_form
        if form is None:
            return super().encoded(start, stop)
        block = self.block(start, stop)
        if block.zero_point is None:
            return Codes(block.values.astype(np.int8), block.scale)
        values = block.values.astype(np.int16) - self.lowest
        zero_point = block.zero_point - self.lowest
        return Codes(values.astype(np.uint8), block.scale, zero_point.astype(np.uint8))

    def _candidate(self) -> Format | None:
        """The format that would hold the codes, were scales and zero points of the right kind."""
        K, groups = self.info.shape[1], self.groups
        size = None if groups == 1 else self.group_width
        if self.bits is None or self._ordered or (
            size is not None and (size not in _GROUP_SIZES or K % size)
        ):
            return None
        if self.bits == 8:
            return Int8() if groups == 1 and self._symmetric else None
        if self.bits not in _GROUPED or K % 8:
            return None
        return _GROUPED[self.bits](group_size=size, symmetric=self._symmetric)

    @property
    def _symmetric(self) -> bool:
        return "zero_point" not in self.parts

    def _fits(self, form: Format, block: AffineRows) -> bool:
        scale = block.scale
        if not (scale > 0).all() or not np.isfinite(scale).all():
            return False
        if isinstance(form, Int8):
            return bool(block.values.min() > -128)
        with np.errstate(over="ignore"):
            if not np.array_equal(scale.astype(np.float16).astype(np.float32), scale):
                return False
        if block.zero_point is None:
            return self.lowest < 0
        zero_point = block.zero_point - self.lowest
        return isinstance(form, GroupedInt) and bool(
            zero_point.min() >= 0 and zero_point.max() <= form.top)

    @cached_property
    def _columns(self) -> np.ndarray:
        """The group of each column: int64 [K]."""
        K = self.info.shape[1]
        if self._group_index is None:
            return np.arange(K) // self.group_width
        index = self._group_index.file.read(self._group_index.name).astype(np.int64)
        if index.min() < 0 or index.max() >= self.groups:
            raise CheckpointError(
                f"{self._group_index} holds {index.min()} to {index.max()}; there are "
                f"{self.groups} groups"
            )
        return index

    @cached_property
    def _ordered(self) -> bool:
        """Whether columns are in another order than their groups."""
        if self._group_index is None:
            return False
        K = self.info.shape[1]
        return not np.array_equal(self._columns, np.arange(K) // self.group_width)


def unpack_words(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Codes uint8 [R, count] out of int32 words [R, ceil(count * bits / 32)].

    A row is one stream of bits, lowest first: code i takes bits ``i * bits`` and up, also across
    the border of two words (compressed-tensors, and GPTQ down a column).
    """
    stream = np.ascontiguousarray(words, "<i4").view(np.uint8)
    if bits == 8:
        return stream[:, :count]
    first = np.arange(count) * bits
    byte, shift = first // 8, (first % 8).astype(np.uint16)
    padded = np.concatenate([stream, np.zeros((len(stream), 1), np.uint8)], axis=1)
    pair = padded[:, byte].astype(np.uint16) | padded[:, byte + 1].astype(np.uint16) << 8
    return (pair >> shift & np.uint16(2**bits - 1)).astype(np.uint8)


def stored_floats(entry: StoredEntry, start: int = 0, stop: int | None = None) -> np.ndarray:
    """A stored F32, F16 or BF16 tensor, or rows of it, as float32."""
    return to_float32(entry.file.read(entry.name, start, stop), entry.tensor.dtype)
