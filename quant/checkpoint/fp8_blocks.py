"""FP8 weights with a scale per tile, as DeepSeek-V3 and the FP8 versions of Qwen3 have them.

``weight`` F8_E4M3 [M, K], ``weight_scale_inv`` [ceil(M / 128), ceil(K / 128)], which multiplies in
spite of its name (``transformers``' ``FineGrainedFP8Config``).
"""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
from typing_extensions import override

from .affine import AffineRows, AffineTensor, stored_floats
from .files.fields import Fields
from .files.locate import StoredEntry
from .files.source import check_entry
from .scheme import Scheme

__all__ = ["fp8_scheme"]

_LIMIT = 1 << 20
_FP8 = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)


def fp8_scheme(fields: Fields) -> Scheme:
    """The storage that a ``quantization_config`` of method fp8 describes."""
    fields.fixed("fmt", "e4m3")
    fields.fixed("scale_fmt", "float")
    fields.fixed("activation_scheme", "dynamic")   # the runtime computes with floats
    size = fields.raw("weight_block_size")
    if not isinstance(size, list) or len(size) != 2 or not all(
        type(extent) is int and 1 <= extent <= _LIMIT for extent in size
    ):
        raise fields.refuse("weight_block_size", "two extents, such as [128, 128]")
    fields.ignore(["modules_to_not_convert", "ignored_layers"])
    fields.finish()
    return _Tiles(size[0], size[1])


class _Tiles(Scheme):
    """``height`` rows and ``width`` columns share a scale."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width

    @override
    def parts(self, name: str, stored: Mapping[str, StoredEntry]) -> dict[str, str]:
        scale = f"{name}_scale_inv"
        return {"packed": name, "scale": scale} if scale in stored else {}

    @override
    def source(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry]
    ) -> AffineTensor:
        return _TiledTensor(name, shape, parts, self)


class _TiledTensor(AffineTensor):
    kind = "fp8"
    lowest = 0

    def __init__(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry], tiles: _Tiles
    ) -> None:
        M, K = shape
        self._tiles, self._groups = tiles, -(-K // tiles.width)
        check_entry(parts["packed"], shape, ("F8_E4M3",))
        check_entry(parts["scale"], (-(-M // tiles.height), self._groups), ("F32", "BF16", "F16"))
        super().__init__(name, shape, parts, None)

    @property
    def groups(self) -> int:
        """Tiles beside each other."""
        return self._groups

    @property
    def group_width(self) -> int:
        """Columns of a tile; the last one may have fewer."""
        return self._tiles.width

    def block(self, start: int, stop: int) -> AffineRows:
        """Rows ``start`` to ``stop``."""
        packed = self.parts["packed"]
        codes = packed.file.read(packed.name, start, stop)
        scales = stored_floats(self.parts["scale"])
        tiles = np.arange(start, stop) // self._tiles.height
        return AffineRows(_FP8[codes.view(np.uint8)], scales[tiles], None)
