"""How the matrices of a model are cut into weight tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import TrilobiteError
from .accelerator_parameters import AcceleratorParameters

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


def plan_tiling(parameters: AcceleratorParameters, name: str, M: int, K: int,
                unit_rows: int) -> Tiling:
    """Cut an [M, K] matrix into the fewest tiles of which two fit the weight buffer.

    A tile is a whole number of units of ``unit_rows`` rows (a head; a block of gate and one of up
    outputs), and tiles are equally high but for the last one.

    Raises
    ------
    TrilobiteError
        ``unit_rows`` or M is no multiple of C or of the other, or not even two units fit.
    """
    tlmm = parameters.tlmm
    if unit_rows % tlmm.columns or M % unit_rows:
        raise TrilobiteError(
            f"{name}: {M} rows in units of {unit_rows} cannot be cut into blocks of "
            f"{tlmm.columns}, the columns of the engine")
    unit = unit_rows // tlmm.columns
    units, passes = M // unit_rows, tlmm.passes(K)
    most = min(parameters.weight_beats // 2 // passes, tlmm.max_blocks) // unit
    if most == 0:
        raise TrilobiteError(
            f"{name}: two tiles of {unit_rows} rows and K = {K} take {2 * unit * passes} beats, "
            f"and the weight buffer has {parameters.weight_beats}")
    tiles = -(-units // most)
    height = -(-units // tiles)
    tiles = -(-units // height)
    return Tiling(height * unit, tiles, (units - (tiles - 1) * height) * unit)


def interleave(even: np.ndarray, odd: np.ndarray, rows: int) -> np.ndarray:
    """Blocks of ``rows`` rows of two [M, K] matrices in turn: [2 M, K]."""
    M, K = even.shape
    blocks = np.stack([even.reshape(-1, rows, K), odd.reshape(-1, rows, K)], axis=1)
    return blocks.reshape(2 * M, K)
