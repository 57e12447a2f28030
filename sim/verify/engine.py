"""Prove in simulation that the table-lookup engine computes what the runtime computes."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ToolError, TrilobiteError
from ...hw.matmul.engine_parameters import TlmmParameters, cycles
from ...hw.matmul.reference import pack_activations, pack_job, pack_weights, unpack_sums
from ...hw.matmul.tlmm import Tlmm
from ...tools.progress import SILENT, PartOfWork, Progress
from .bench import Observed, Traffic, build, exchange

__all__ = ["EngineProblem", "MatrixResult", "Mismatch", "VerifyReport", "tlmm_traffic",
           "verify_tlmm"]


@dataclass(frozen=True)
class EngineProblem:
    """One ternary matrix with what goes into it and what must come out.

    ``trits`` is int8 [M, K] of -1, 0, 1; ``activations`` int8 [N, K]; ``expected`` int32 [N, M].
    """

    name: str
    trits: np.ndarray
    activations: np.ndarray
    expected: np.ndarray

    def check(self, parameters: TlmmParameters) -> None:
        """Raise ``TrilobiteError`` if the arrays contradict each other or do not fit the engine."""
        M, K = self.trits.shape
        N = len(self.activations)
        if self.activations.shape != (N, K) or self.expected.shape != (N, M) or N == 0:
            raise TrilobiteError(
                f"Matrix {self.name} is {[M, K]}; its activations must be [N, {K}] and its "
                f"expected sums [N, {M}] for one N of at least 1, not "
                f"{list(self.activations.shape)} and {list(self.expected.shape)}")
        if not np.isin(self.trits, (-1, 0, 1)).all():
            raise TrilobiteError(f"Matrix {self.name} holds weights other than -1, 0 and 1")
        limit = 1 << (parameters.activation_width - 1)
        if self.activations.min() < -limit or self.activations.max() >= limit:
            raise TrilobiteError(f"Matrix {self.name} has activations outside of "
                                 f"{parameters.activation_width} signed bits")
        for letter, value, most in (("K", K, parameters.max_k), ("M", M, parameters.max_m)):
            if value > most:
                raise TrilobiteError(f"Matrix {self.name} has {letter} = {value}, and the engine "
                                     f"is made for at most max_{letter.lower()} = {most}")


@dataclass(frozen=True)
class Mismatch:
    """The first output that differs: its token, its row, and both values."""

    token: int
    row: int
    expected: int
    got: int


@dataclass(frozen=True)
class MatrixResult:
    """What the simulation of one matrix gave.

    ``cycles`` were measured without stalls, for all N tokens; ``stalled_cycles`` with them;
    ``predicted_cycles`` is the formula's count (``hw.cycles``). ``mismatches`` counts wrong sums in
    both runs together.
    """

    name: str
    M: int
    K: int
    N: int
    cycles: int
    stalled_cycles: int
    predicted_cycles: int
    mismatches: int
    first_mismatch: Mismatch | None


@dataclass(frozen=True)
class VerifyReport:
    """Results of ``verify_tlmm``, matrix by matrix."""

    parameters: TlmmParameters
    simulator: str
    stall: float
    seed: int
    rows: tuple[MatrixResult, ...]

    @property
    def mismatches(self) -> int:
        """Wrong sums in all matrices and runs."""
        return sum(row.mismatches for row in self.rows)

    @property
    def cycles(self) -> int:
        """Unstalled cycles of all matrices, one after the other."""
        return sum(row.cycles for row in self.rows)

    def measured_cycles(self) -> dict[tuple[int, int], int]:
        """Measured unstalled cycles by shape (M, K), of the matrices that ran one token."""
        return {(row.M, row.K): row.cycles for row in self.rows if row.N == 1}

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values.

        ``mismatches`` and ``cycles``: totals; ``simulator``, ``stall`` (probability), ``seed``;
        ``parameters``: of the engine, by name; ``rows``: one object per matrix with ``name``,
        ``M``, ``K``, ``N``, ``cycles``, ``stalled_cycles``, ``predicted_cycles``, ``mismatches``
        and ``first_mismatch`` (null, or ``token``, ``row``, ``expected``, ``got``).
        """
        return {
            "mismatches": self.mismatches,
            "cycles": self.cycles,
            "simulator": self.simulator,
            "stall": self.stall,
            "seed": self.seed,
            "parameters": dataclasses.asdict(self.parameters),
            "rows": [dataclasses.asdict(row) for row in self.rows],
        }


def tlmm_traffic(parameters: TlmmParameters, trits: np.ndarray, activations: np.ndarray,
                 stall: float | Mapping[str, float] = 0.0, seed: int = 0,
                 reset_after: int | None = None) -> Traffic:
    """One job per activation vector (int8 [N, K]) for an int8 [M, K] matrix, as beats."""
    M, K = trits.shape
    N = len(activations)
    return Traffic(
        inputs={
            "i_job": pack_job(parameters, K, M),
            "i_activations": pack_activations(parameters, activations),
            "i_weights": pack_weights(parameters, trits),
        },
        outputs={"o": N * parameters.blocks(M)},
        repeats={"i_job": N, "i_weights": N},
        stall=stall, seed=seed, reset_after=reset_after)


def verify_tlmm(matrices: Sequence[EngineProblem], parameters: TlmmParameters,
                simulator: str = "verilator", stall: float = 0.3, seed: int = 0,
                waves: Path | str | None = None,
                progress: Progress = SILENT) -> VerifyReport:
    """Simulate the engine on ``matrices`` and compare every sum.

    Each matrix runs twice in one simulation: with random stalls on all streams, and without, which
    measures its cycles. A wrong sum is counted in the report, and raises nothing.

    Parameters
    ----------
    matrices : Sequence[Matrix]
        What to multiply, and what must come out.
    parameters : TlmmParameters
        The engine.
    simulator : str
        ``verilator`` or ``icarus``.
    stall : float
        Probability that a stream stalls in a cycle of the first run.
    seed : int
        Seed of the stalls.
    waves : Path, optional
        File to record the signals in: ``.fst`` (either simulator) or ``.vcd`` (Verilator).
    progress : Progress
        Is told of each run that is done.

    Raises
    ------
    TrilobiteError
        A matrix does not fit the engine or contradicts itself, or there is none.
    ToolError
        A tool is missing, or the simulation failed: nothing moved any more, a stream broke the
        rules, or the number of outputs was wrong.
    """
    if not matrices:
        raise TrilobiteError("There is no matrix to verify")
    for matrix in matrices:
        matrix.check(parameters)
    progress.start(2 * len(matrices), f"Building the engine for {simulator}")
    target = None if waves is None else Path(waves)
    engine = build(Tlmm(parameters), "tlmm", simulator, target.suffix if target else None)
    traffic = [
        tlmm_traffic(parameters, matrix.trits, matrix.activations, probability, seed + number)
        for number, matrix in enumerate(matrices) for probability in (stall, 0.0)
    ]
    observed = exchange(engine, traffic, target,
                        _NamedRuns(progress, [matrix.name for matrix in matrices]))
    rows = (
        _compare(parameters, matrix, stalled, unstalled)
        for matrix, stalled, unstalled in zip(matrices, observed[::2], observed[1::2], strict=True)
    )
    return VerifyReport(parameters, simulator, stall, seed, tuple(rows))


class _NamedRuns(PartOfWork):
    """Says which matrix is simulated as runs are done, two of each."""

    def __init__(self, whole: Progress, names: Sequence[str]) -> None:
        super().__init__(whole)
        self.start(1)
        self._rest = deque(name for name in names for _ in range(2))

    def advance(self, amount: float = 1) -> None:
        """One more run is done, and the next one begins."""
        super().advance(amount)
        self._rest.popleft()
        if self._rest:
            self.doing(f"Simulating {self._rest[0]}")


def _compare(parameters: TlmmParameters, matrix: EngineProblem, stalled: Observed,
             unstalled: Observed) -> MatrixResult:
    M, K = matrix.trits.shape
    N = len(matrix.activations)
    mismatches, first = 0, None
    for run in (stalled, unstalled):
        try:
            sums = unpack_sums(parameters, run.outputs["o"], M)
        except ValueError as error:
            raise ToolError(f"Matrix {matrix.name}: {error}") from None
        wrong = np.argwhere(sums != matrix.expected)
        mismatches += len(wrong)
        if first is None and len(wrong):
            token, row = (int(index) for index in wrong[0])
            first = Mismatch(token, row, int(matrix.expected[token, row]), int(sums[token, row]))
    return MatrixResult(
        name=matrix.name, M=M, K=K, N=N, cycles=unstalled.cycles, stalled_cycles=stalled.cycles,
        predicted_cycles=cycles(parameters, K, M, N), mismatches=mismatches, first_mismatch=first)
