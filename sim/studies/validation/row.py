"""One figure of ours beside the published one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Basis", "Row"]


class Basis(StrEnum):
    """What our figure owes to the reference."""

    FITTED = "fitted"        # a constant was fitted to this very figure
    HELD_OUT = "held out"    # constants were fitted to others of the same source, or are cited
    FORMULA = "formula"      # published formula with published inputs: no constant of ours


@dataclass(frozen=True)
class Row:
    """``ours`` and ``reference`` in ``unit``; ``band``: the largest error that the tests allow."""

    source: str
    what: str
    unit: str
    ours: float
    reference: float
    basis: Basis
    band: float

    @property
    def error(self) -> float:
        """Signed error, as a fraction of the reference."""
        return self.ours / self.reference - 1
