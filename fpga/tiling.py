"""How the matrices of a model are cut into weight tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import TrilobiteError
from .matrices import MatrixLayout

__all__ = ["Tiling", "interleave", "plan_tiling"]


@dataclass(frozen=True)
class Tiling:
    """``tiles`` tiles of ``blocks`` blocks of C rows; the last one has ``last_blocks``."""

    blocks: int
    tiles: int
    last_blocks: int

    def of_tile(self, tile: int) -> int:
        """Blocks of tile number ``tile``."""
        return self.last_blocks if tile == self.tiles - 1 else self.blocks


def plan_tiling(layout: MatrixLayout, name: str, M: int, unit_rows: int,
                most_rows: int | None = None) -> Tiling:
    """Cut a matrix of M rows into the fewest tiles of which two fit the buffers.

    A tile is a whole number of units of ``unit_rows`` rows (a head; a block of gate and one of up
    outputs), and tiles are equally high but for the last one. None has more than ``most_rows``
    rows, if that is given.

    Raises
    ------
    TrilobiteError
        ``unit_rows`` or M is no multiple of C or of the other, or not even two units fit.
    """
    parameters, tlmm = layout.parameters, layout.parameters.tlmm
    if unit_rows % tlmm.columns or M % unit_rows:
        raise TrilobiteError(
            f"{name}: {M} rows in units of {unit_rows} cannot be cut into blocks of "
            f"{tlmm.columns}, the columns of the engine")
    unit = unit_rows // tlmm.columns
    units = M // unit_rows
    blocks = layout.most_blocks if most_rows is None else most_rows // tlmm.columns
    most = min(layout.most_blocks, blocks) // unit
    if most == 0:
        scales = (f" and {2 * layout.scale_beats(unit)} of scales, and the buffers have "
                  f"{parameters.weight_beats} and {parameters.scale_beats}" if layout.groups else
                  f", and the weight buffer has {parameters.weight_beats}")
        raise TrilobiteError(
            f"{name}: two tiles of {unit_rows} rows and K = {layout.K} take "
            f"{2 * layout.beats(unit)} beats{scales}")
    tiles = -(-units // most)
    height = -(-units // tiles)
    tiles = -(-units // height)
    return Tiling(height * unit, tiles, (units - (tiles - 1) * height) * unit)


def interleave(even: np.ndarray, odd: np.ndarray, rows: int) -> np.ndarray:
    """Blocks of ``rows`` rows of two [M, K] matrices in turn: [2 M, K]."""
    M, K = even.shape
    blocks = np.stack([even.reshape(-1, rows, K), odd.reshape(-1, rows, K)], axis=1)
    return blocks.reshape(2 * M, K)
