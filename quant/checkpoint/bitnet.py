"""Hugging Face's packed BitNet weights: four rows of trits in one row of bytes.

Layout (``transformers.integrations.bitnet.pack_weights``): of a matrix [M, K], byte row r holds
in bits 2i, 2i + 1 the trit + 1 of output row r + i * M / 4.
"""

from __future__ import annotations

import numpy as np

from ...errors import CheckpointError
from ..formats import Codes, Format, PackedWeight, Ternary
from .files.floats import check_finite, to_float32
from .files.locate import StoredEntry
from .files.source import TensorInfo, TensorSource, check_entry

__all__ = ["PackedTrits", "unpack_rows"]

_PER_BYTE = 4


def unpack_rows(packed: np.ndarray, part: int) -> np.ndarray:
    """Codes 0 to 3 of output rows ``part * M / 4`` and on, from byte rows uint8 [R, K]."""
    return (packed >> np.uint8(2 * part)) & np.uint8(3)


class PackedTrits(TensorSource):
    """A linear weight [M, K] in packed trits with one scale.

    Raises
    ------
    CheckpointError
        M is not a multiple of 4, or weight or scale have another shape or type; on reading: a
        code that stands for no trit, a scale that is not positive and finite.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        weight: StoredEntry,
        scale: StoredEntry,
        scale_divides: bool,
    ) -> None:
        if shape[0] % _PER_BYTE:
            raise CheckpointError(
                f"{weight} has {shape[0]} output rows; packed BitNet weights need a multiple of "
                f"{_PER_BYTE}"
            )
        _check_packed(weight, shape)
        check_entry(scale, scale.tensor.shape and (1,), ("F32", "F16", "BF16"))
        nbytes = weight.tensor.nbytes + scale.tensor.nbytes
        super().__init__(name, TensorInfo(shape, "ternary", nbytes, weight.file.path))
        self._weight = weight
        self._scale = scale
        self._scale_divides = scale_divides

    @property
    def form(self) -> Format:
        """Ternary."""
        return Ternary()

    def encoded(self, start: int, stop: int) -> Codes:
        """The trits as they are, with their scale [1, 1]."""
        return Codes(self.codes(start, stop), np.full((1, 1), self.scale(), np.float32))

    def scale(self) -> np.float32:
        """The factor that trits are multiplied by."""
        entry = self._scale
        values = to_float32(entry.file.read(entry.name), entry.tensor.dtype).reshape(1)
        check_finite(entry, values, 0)
        with np.errstate(divide="ignore", over="ignore"):
            factor = np.float32(1) / values[0] if self._scale_divides else values[0]
        if not 0 < factor < np.inf:
            raise CheckpointError(f"{entry} is {values[0]}; a scale must be positive")
        return factor

    def codes(self, start: int, stop: int) -> np.ndarray:
        """Trits int8 [R, K] of rows ``start`` to ``stop``."""
        quarter = self.info.shape[0] // _PER_BYTE
        trits = np.empty((stop - start, self.info.shape[1]), np.int8)
        for part in range(_PER_BYTE):
            offset = part * quarter
            low, high = max(start, offset), min(stop, offset + quarter)
            if low < high:
                packed = self._weight.file.read(self._weight.name, low - offset, high - offset)
                codes = unpack_rows(packed, part)
                self._check_codes(codes, low)
                trits[low - start : high - start] = codes.view(np.int8) - np.int8(1)
        return trits

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Trits times scale."""
        return self.codes(start, stop) * self.scale()

    def weight(self) -> PackedWeight:
        """The same trits and scale, packed as Trilobite packs them."""
        rows, columns = self.info.shape
        return PackedWeight(self.form, (rows, columns), self.form.pack(self.encoded(0, rows)))

    def _check_codes(self, codes: np.ndarray, first_row: int) -> None:
        if codes.size and codes.max() == 3:
            row, column = np.argwhere(codes == 3)[0]
            raise CheckpointError(
                f"{self._weight} holds the code 3 for output row {first_row + row}, column "
                f"{column}; a trit is coded 0, 1 or 2"
            )


def _check_packed(weight: StoredEntry, shape: tuple[int, ...]) -> None:
    packed = (shape[0] // _PER_BYTE, *shape[1:])
    stored = weight.tensor
    if stored.dtype != "U8" or stored.shape != packed:
        raise CheckpointError(
            f"{weight} is {stored.dtype} {list(stored.shape)}; packed BitNet weights are U8 "
            f'{list(packed)} (for master weights, "quantization_mode" must be "online" and '
            '"linear_class" "autobitlinear")'
        )
