"""A rotation of a linear's inputs that its stored weights expect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Rotation"]


@dataclass(frozen=True, eq=False)
class Rotation:
    """y = W R x: W is what is stored, R = H S / sqrt(block) in blocks of columns.

    H is the Walsh-Hadamard matrix in Sylvester's order, S a diagonal of ``signs`` float32 [K], each
    1 or -1; ``block``, a power of two, divides K. See ``numerics.rotate``.
    """

    block: int
    signs: np.ndarray

    def inputs(self, x: np.ndarray) -> np.ndarray:
        """R x of each row of float32 ``x`` [N, K]."""
        from ...numerics import rotate  # noqa: PLC0415 - brings Numba, and few models need it

        return rotate(x, self.signs, self.block)

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Rows of W R, float32 [R, K], from ``rows`` of W."""
        from ...numerics import rotate_back  # noqa: PLC0415

        return rotate_back(np.ascontiguousarray(rows), self.signs, self.block)
