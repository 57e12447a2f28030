"""Cycles of the table-lookup matmul: measured in RTL simulation, or by the engine's formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import EstimateError
from ...hw import TlmmParameters, cycles
from .cycle_source import CountingMethod, DetailTable, TableRow
from .method import FORMULAS

if TYPE_CHECKING:
    from .results import Estimate

__all__ = ["CycleModel"]


@dataclass(frozen=True)
class CycleModel:
    """Where a matmul's cycles come from.

    ``measured`` maps [M, K] to the unstalled cycles of one token in RTL simulation; every other
    shape, and several tokens in a row, use the engine's formula.
    """

    parameters: TlmmParameters
    measured: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @property
    def method(self) -> CountingMethod:
        """How figures are calculated with these cycles."""
        return FORMULAS

    def cycles(self, M: int, K: int, N: int = 1) -> int:
        """Cycles of N tokens' [M, K] matmul, one after the other, their weights at hand.

        Raises
        ------
        EstimateError
            The matrix is larger than the engine is built for.
        """
        if self.parameters.max_k < K or self.parameters.max_m < M:
            raise EstimateError(
                f"A matrix of {M} outputs and {K} inputs does not fit the engine, which is built "
                f"for at most {self.parameters.max_m} and {self.parameters.max_k}"
            )
        if self.is_measured(M, K, N):
            return self.measured[M, K]
        return self.formula(M, K, N)

    def formula(self, M: int, K: int, N: int = 1) -> int:
        """What the engine's formula gives, measured or not."""
        return cycles(self.parameters, K, M, N)

    def is_measured(self, M: int, K: int, N: int = 1) -> bool:
        """Whether ``cycles`` gives what was measured in RTL simulation."""
        return N == 1 and (M, K) in self.measured

    def table(self, estimates: Sequence[Estimate]) -> DetailTable:
        """Cycles of every ternary matmul of a decode step: by the formula, and where measured."""
        rows = []
        for estimate in estimates:
            shapes = {cost.operator.matrix for cost in estimate.decode.operators
                      if cost.operator.unit == "tlmm"}
            rows += [self._row(estimate.model.name, M, K) for M, K in sorted(shapes)]
        return DetailTable(
            "cycles", "Cycles of the table-lookup engine",
            ("M × K", "formula", "RTL simulation", "MAC per cycle", "used"), tuple(rows))

    def _row(self, model: str, M: int, K: int) -> TableRow:
        cycles, measured = self.cycles(M, K), self.is_measured(M, K)
        return TableRow(
            f"{M} × {K}", model,
            (f"{self.formula(M, K):,}", f"{cycles:,}" if measured else "–",
             f"{M * K / cycles:,.0f}"), "rtl" if measured else "formula")

    def to_json(self) -> dict[str, Any]:
        """``cycles`` of docs/reference/report.md."""
        return {
            "agreement": self.agreement,
            "measured": [{"shape": [M, K], "cycles": cycles}
                         for (M, K), cycles in sorted(self.measured.items())],
        }

    @property
    def agreement(self) -> str:
        """How the formula compares with what was measured, as a clause for the report."""
        if not self.measured:
            return "formula, not compared with an RTL simulation in this run"
        errors = [
            abs(self.formula(M, K) - measured) / measured
            for (M, K), measured in self.measured.items()
        ]
        equal = sum(error == 0 for error in errors)
        clause = f"formula, equal to RTL simulation on {equal} of {len(errors)} shapes"
        return clause if equal == len(errors) else f"{clause}, off by up to {max(errors):.1%}"
