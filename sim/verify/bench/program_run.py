"""Run an accelerator's program in a simulation, step by step, and look at its memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....fpga.events import COUNTERS
from ....fpga.runs import RunError
from ....tools.progress import SILENT, Progress
from ....tools.scratch import scratch_folder
from .build import Build
from .run import run_tests

__all__ = ["FOLDER_VARIABLE", "Dump", "Run", "RunResult", "run_accelerator"]

FOLDER_VARIABLE = "TRILOBITE_PROGRAM"


@dataclass(frozen=True)
class Dump:
    """``words`` words from number ``word`` on, to be read after a run, under a name."""

    name: str
    word: int
    words: int


@dataclass(frozen=True)
class Run:
    """One run of the accelerator: the fields of ``run_layout``, and what is looked at.

    ``dumps`` are read after it. With ``look``, the counters are every so many cycles.
    """

    program: int
    tiles: int
    tile_count: int
    tokens: int
    position: int
    new_tokens: int
    end_token: int = 0xFFFF_FFFF
    logits: int = 0
    dumps: tuple[Dump, ...] = field(default=())
    look: int = 0


@dataclass(frozen=True)
class RunResult:
    """What a run gave: its error, ``COUNTERS`` by name, and uint8 [words, word_bytes] by dump.

    ``failed`` has the operation and the post of the descriptor at which an error happened;
    ``looks`` the counters at each look, int64 [looks, counters], the last one at the end.
    ``started`` is the run's first cycle, counted from the reset: the memory refreshes by that.
    """

    error: RunError
    failed: str
    counts: dict[str, int]
    dumps: dict[str, np.ndarray]
    looks: np.ndarray
    started: int = 0


def run_accelerator(
    build: Build, image: Sequence[tuple[int, np.ndarray]], runs: Sequence[Run],
    waves: Path | None = None, cycle_limit: int = 1 << 31,
    progress: Progress = SILENT,
) -> list[RunResult]:
    """Load ``image`` (first word, uint8 [words, word_bytes]) and do ``runs``, one after the other.

    ``build`` is of a ``ProgramBench``. A run that reports an error is the last one. ``progress``
    advances by one for each run that is done.

    Raises
    ------
    ToolError
        The simulation failed, or a run took more than ``cycle_limit`` cycles.
    """
    with scratch_folder() as folder:
        arrays: dict[str, Any] = {str(word): words for word, words in image}
        np.savez(folder / "image.npz", **arrays)
        settings = {"cycle_limit": cycle_limit, "runs": [asdict(run) for run in runs]}
        (folder / "runs.json").write_text(json.dumps(settings))
        run_tests(build, f"{__package__}.program_host", ["program"],
                  environment={FOLDER_VARIABLE: str(folder)}, waves=waves, progress=progress)
        results = json.loads((folder / "results.json").read_text())
        with np.load(folder / "dumps.npz") as dumps:
            return [
                RunResult(
                    RunError(result["error"]), result["failed"],
                    dict(zip(COUNTERS, result["counts"], strict=True)),
                    {dump.name: dumps[f"{number}/{dump.name}"] for dump in run.dumps
                     if f"{number}/{dump.name}" in dumps.files},
                    np.array(result["looks"], np.int64).reshape(-1, len(COUNTERS)),
                    result["started"])
                for number, (run, result) in enumerate(zip(runs, results, strict=False))
            ]
