"""Cycles of the table-lookup matmul: measured in RTL simulation, or by the engine's formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import EstimateError
from .hardware import Tlmm

__all__ = ["CycleModel", "formula"]


def formula(tlmm: Tlmm, K: int, M: int) -> int:
    """Cycles of one token's [M, K] matmul.

    K takes ``ceil(K / (tables x group_size))`` passes. A pass looks up ``ceil(M / columns)`` blocks
    while the next pass's tables are built, which takes ``3^group_size`` cycles; the first tables
    and the drain of the pipeline come on top.
    """
    passes = -(-K // tlmm.pass_width)
    blocks = -(-M // tlmm.columns.count)
    build = 3 ** tlmm.group_size.count + 4
    return passes * max(blocks, build) + build + 16


@dataclass(frozen=True)
class CycleModel:
    """Where a matmul's cycles come from: ``measured`` by [M, K], or else the formula."""

    tlmm: Tlmm
    measured: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def cycles(self, M: int, K: int) -> int:
        """Cycles of one token's [M, K] matmul, its weights at hand.

        Raises
        ------
        EstimateError
            The matrix is larger than the engine is built for.
        """
        if self.tlmm.max_k.count < K or self.tlmm.max_m.count < M:
            raise EstimateError(
                f"A matrix of {M} outputs and {K} inputs does not fit the engine, which is built "
                f"for at most {self.tlmm.max_m.count} and {self.tlmm.max_k.count}"
            )
        return self.measured.get((M, K)) or formula(self.tlmm, K, M)

    def is_measured(self, M: int, K: int) -> bool:
        """Whether the cycles of this shape were measured in RTL simulation."""
        return (M, K) in self.measured

    @property
    def agreement(self) -> str:
        """How the formula compares with what was measured, as a sentence for the report."""
        if not self.measured:
            return "formula, not compared with an RTL simulation in this run"
        errors = [
            abs(formula(self.tlmm, K, M) - cycles) / cycles
            for (M, K), cycles in self.measured.items()
        ]
        equal = sum(error == 0 for error in errors)
        if equal == len(errors):
            return f"formula, equal to RTL simulation on {equal} of {equal} shapes"
        return (
            f"formula, equal to RTL simulation on {equal} of {len(errors)} shapes, "
            f"off by at most {100 * max(errors):.1f} %"
        )
