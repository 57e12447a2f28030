"""A tensor of the model out of a GGUF file, in canonical order and as float32 or trits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from typing_extensions import override

from ....errors import CheckpointError, FormatError
from ....model import ModelConfig
from ...formats import Codes, Format, GroupedTernary, Int2, Int4, PackedWeight, Ternary
from ...formats.rotation import Rotation
from ..files.fields import printable
from ..files.floats import check_finite
from ..files.gguf_blocks import TYPES, half
from ..files.gguf_groups import GROUPED, has_twos, levels
from ..files.gguf_split import GgufModel
from ..files.source import TensorInfo, TensorSource
from .names import canonical_rows

__all__ = ["GgufSource"]

_SMALLEST_HALF = np.float32(2**-24)
_TRITS = ("TQ1_0", "TQ2_0")


class GgufSource(TensorSource):
    """One tensor; the factor of its ``.scale`` tensor, if there is one, belongs to its values.

    A linear weight of a BitNet model must be ternary with one scale, however it is stored; in
    other models TQ1_0 and TQ2_0 count as ternary if they have one scale, and as floats otherwise.
    Q4_0 is held exactly by INT4 in groups of 32, asymmetric: a negative scale turns the codes
    around. Q1_0, Q2_0, PQ2_0 and PTQ1_0 are ternary with a scale per group (asymmetric INT2 where a
    code stands for 2), and the runtime computes with them so, in embedding and head, too.

    Parameters
    ----------
    name, shape
        Canonical.
    stored
        Its name in ``file``.
    scale
        Name of the one-element tensor that multiplies it, or None.
    paired
        Whether its rows are in the order of llama.cpp's rotary embedding.
    bitnet
        Whether it is a linear weight of a BitNet model.
    rotation
        Of the inputs that it is stored for; ``rows`` are those for inputs as they are.

    Raises
    ------
    CheckpointError
        Shape or type are not those that the model calls for; on reading: a value is NaN or
        infinite, a code is none, or a weight of a BitNet model is not ternary.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], file: GgufModel, stored: str, scale: str | None,
        paired: bool, bitnet: bool, config: ModelConfig, rotation: Rotation | None = None,
    ) -> None:
        tensor = file.tensors[stored]
        self._where = f"{file.holder(stored)}: {printable(stored)}"
        if tensor.shape != shape:
            raise CheckpointError(
                f"{self._where} has shape {list(tensor.shape)}; the metadata calls for "
                f"{list(shape)}"
            )
        nbytes = tensor.nbytes + (4 if scale else 0)
        super().__init__(name, TensorInfo(shape, tensor.type.name, nbytes, file.holder(stored)))
        self._file, self._stored, self._type = file, stored, tensor.type
        self._scale_name = scale
        self._bitnet = bitnet
        self._rotation = rotation
        self._order = canonical_rows(shape[0], config) if paired else None
        self._unit = config.head_dim if paired else 1
        if scale is not None:
            entry = file.tensors[scale]
            if entry.shape != (1,) or entry.type.name != "F32":
                raise CheckpointError(
                    f"{file.holder(scale)}: {printable(scale)} must be one F32 number")

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Float32 rows, finite, in canonical order."""
        if len(self.info.shape) == 1:
            return self._vector()[start:stop]
        values = self._ordered(start, stop, self._dequantize)
        if self._scale_name is not None:
            values = values * self._factor
        if self._rotation is not None:
            values = self._rotation.rows(values)
        check_finite(self._where, values, start)
        return values

    @property
    def form(self) -> Format | None:
        """Ternary where the codes are; everything else runs in float32."""
        if self._grouped is not None:
            return self._grouped
        return Ternary() if self._ternary_scale is not None else None

    @property
    @override
    def rotated(self) -> bool:
        return self._rotation is not None

    @property
    def stored_form(self) -> Format | None:
        """Ternary, or INT4 for Q4_0; none of a rotated matrix."""
        if self._rotation is not None:
            return None
        if self._type.name == "Q4_0" and self._scale_name is None and self.form is None:
            return Int4(group_size=32, symmetric=False)
        return self.form

    @override
    def encoded(self, start: int, stop: int) -> Codes:
        form = self.stored_form
        if form is None:
            return super().encoded(start, stop)
        return self._codes(form, start, stop)

    def _codes(self, form: Format, start: int, stop: int) -> Codes:
        """Codes of the rows as they are stored."""
        if isinstance(form, Ternary):
            assert self._ternary_scale is not None, "``form`` is ternary where there is one"
            trits = np.sign(self.rows(start, stop)).astype(np.int8)
            return Codes(trits, self._ternary_scale)
        if self._grouped is not None:
            codes = _grouped(self._ordered(start, stop, lambda rows: rows), self._type.name, form)
            check_finite(self._where, codes.scale, start)
            return codes
        return _int4(self._ordered(start, stop, lambda rows: rows))

    def weight(self) -> PackedWeight | np.ndarray:
        """Trits, or float32."""
        if self.form is None:
            return self.read()
        M, K = self.info.shape
        codes = self.form.pack(self._codes(self.form, 0, M))
        return PackedWeight(self.form, (M, K), codes, self._rotation)

    def _dequantize(self, rows: np.ndarray) -> np.ndarray:
        try:
            return self._type.dequantize(rows)
        except FormatError as error:
            raise CheckpointError(f"{self._where}: {error}") from None

    def _vector(self) -> np.ndarray:
        values = self._dequantize(self._file.rows(self._stored))[0]
        check_finite(self._where, values, 0)
        return values if self._order is None else values[self._order]

    def _ordered(
        self, start: int, stop: int, convert: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Canonical rows: whole heads are read where the file has another order."""
        if self._order is None:
            return convert(self._file.rows(self._stored, start, stop))
        first = start // self._unit * self._unit
        last = -(-stop // self._unit) * self._unit
        block = convert(self._file.rows(self._stored, first, last))
        return block[self._order[start:stop] - first]

    @cached_property
    def _factor(self) -> np.float32:
        assert self._scale_name is not None, "``rows`` asks where there is a scale"
        value = self._file.rows(self._scale_name)[0].view("<f4")[0]
        if not 0 < value < np.inf:
            raise CheckpointError(f"{self._file.path}: {printable(self._scale_name)} is {value}; a "
                                  "scale must be positive")
        return np.float32(value)

    @cached_property
    def _grouped(self) -> Format | None:
        """The format of a matrix whose groups have a scale each; None if it is none."""
        kind = self._type
        alone = self._scale_name is None and not self._bitnet and len(self.info.shape) == 2
        if not alone or kind.name not in GROUPED:
            return None
        if kind.name in ("Q2_0", "PQ2_0"):
            for start, stop in self.blocks():
                rows = self._file.rows(self._stored, start, stop)
                if has_twos(rows.reshape(-1, kind.nbytes)):
                    return Int2(group_size=kind.values, symmetric=False)
        return GroupedTernary(group_size=kind.values)

    @cached_property
    def _ternary_scale(self) -> np.ndarray | None:
        """The one scale [1, 1] of a ternary weight; None if it is not one."""
        plain = len(self.info.shape) == 2 and self._rotation is None
        if not plain or not (self._bitnet or self._type.name in _TRITS):
            return None
        largest = np.float32(0)
        for start, stop in self.blocks():
            largest = max(largest, np.abs(self.rows(start, stop)).max())
        uniform = largest > 0 and all(
            np.isin(np.abs(self.rows(start, stop)), np.array([0, largest], np.float32)).all()
            for start, stop in self.blocks()
        )
        if not uniform and self._bitnet:
            raise CheckpointError(
                f"{self._where} is not ternary with one scale, as a weight of a BitNet model must "
                "be"
            )
        return np.full((1, 1), largest, np.float32) if uniform else None


def _int4(rows: np.ndarray) -> Codes:
    """Codes of Q4_0 rows uint8 [R, bytes]: ``(q - 8) * d`` is ``(15 - q - 7) * -d``.

    A block of scale 0 has the zero point as all its codes, and the smallest scale.
    """
    blocks = rows.reshape(-1, 18)
    packed = blocks[:, 2:]
    codes = np.concatenate([packed & 15, packed >> 4], axis=1)
    scale = half(blocks, 0)
    turned = scale < 0
    codes = np.where(scale == 0, 8, np.where(turned, 15 - codes, codes)).astype(np.uint8)
    zero_point = np.where(turned, 7, 8).astype(np.uint8)
    magnitude = np.where(scale == 0, _SMALLEST_HALF, np.abs(scale))
    groups = (len(rows), -1)
    return Codes(codes.reshape(groups), magnitude.reshape(groups), zero_point.reshape(groups))


def _grouped(rows: np.ndarray, type: str, form: Format) -> Codes:
    """Codes of Q1_0, Q2_0, PQ2_0 or PTQ1_0 rows uint8 [R, bytes] in ``form``.

    A negative scale turns levels, or codes and their zero point 1, around; a group of scale 0 has
    no level but 0, and the smallest scale.
    """
    values, scale = levels(rows.reshape(-1, TYPES[type].nbytes), type)
    turned, none = scale < 0, scale == 0
    values[none] = 0
    magnitude = np.where(none, _SMALLEST_HALF, np.abs(scale)).reshape(len(rows), -1)
    if isinstance(form, GroupedTernary):
        values[turned] *= -1
        return Codes(values.reshape(len(rows), -1), magnitude)
    codes = np.where(turned[:, None], 2 - values, values + 1).astype(np.uint8)
    zero_point = np.where(turned, 2, 1).astype(np.uint8).reshape(len(rows), -1)
    return Codes(codes.reshape(len(rows), -1), magnitude, zero_point)
