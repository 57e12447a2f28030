"""Beats in, beats out: the traffic on a component's streams, as arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....tools.progress import SILENT, Progress
from ....tools.scratch import scratch_folder
from .build import Build
from .run import run_tests

__all__ = ["FOLDER_VARIABLE", "Observed", "Traffic", "exchange"]

# Between ``exchange`` and ``traffic``, which runs inside the simulator.
FOLDER_VARIABLE = "TRILOBITE_TRAFFIC"   # the folder with the beats


@dataclass(frozen=True)
class Traffic:
    """What to put through a component from one reset-free, idle state to the next.

    A beat is its payload's bits, least significant first, as ``ceil(width / 8)`` bytes.

    Parameters
    ----------
    inputs : Mapping[str, np.ndarray]
        By input stream: uint8 [beats, bytes].
    outputs : Mapping[str, int]
        By output stream: how many beats will come.
    repeats : Mapping[str, int]
        By input stream: how often its beats are sent, one after the other; default 1.
    stall : float or Mapping[str, float]
        Probability, for each cycle, that a stream is held up by its other end; by stream, or the
        same for all.
    seed : int
        Seed of the stalls.
    reset_after : int, optional
        Reset the component after that many cycles, and drop whatever was under way. The outputs
        up to then are returned, however few.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, int]
    repeats: Mapping[str, int] = field(default_factory=dict)
    stall: float | Mapping[str, float] = 0.0
    seed: int = 0
    reset_after: int | None = None

    def settings(self) -> dict[str, object]:
        """All but the beats, for JSON."""
        stall = self.stall
        if not isinstance(stall, Mapping):
            stall = dict.fromkeys([*self.inputs, *self.outputs], stall)
        return {
            "inputs": {name: self.repeats.get(name, 1) for name in self.inputs},
            "outputs": dict(self.outputs), "stall": dict(stall), "seed": self.seed,
            "reset_after": self.reset_after,
        }


@dataclass(frozen=True)
class Observed:
    """What one ``Traffic`` gave.

    ``outputs`` holds the beats by output stream (uint8 [beats, bytes]); ``cycles`` counts from the
    first beat taken in on any stream to the last one put out, both included.
    """

    outputs: dict[str, np.ndarray]
    cycles: int


def exchange(build: Build, traffic: Sequence[Traffic], waves: Path | None = None,
             progress: Progress = SILENT) -> list[Observed]:
    """Run ``traffic``, one after the other, in one simulation of a component with streams.

    Each output stream is checked on the way: once valid, it stays so with the same payload until
    it is taken; it gives as many beats as announced and no more. ``progress`` advances
    by one for each run that is done.

    Raises
    ------
    ToolError
        The simulation failed, a check failed, or nothing moved for a long time.
    """
    with scratch_folder() as folder:
        beats: dict[str, Any] = {f"{number}/{name}": array for number, run in enumerate(traffic)
                 for name, array in run.inputs.items()}
        np.savez(folder / "inputs.npz", **beats)
        (folder / "traffic.json").write_text(json.dumps([run.settings() for run in traffic]))
        run_tests(build, f"{__package__}.traffic", ["traffic"],
                  environment={FOLDER_VARIABLE: str(folder)}, waves=waves, progress=progress)
        counted = json.loads((folder / "cycles.json").read_text())
        with np.load(folder / "outputs.npz") as outputs:
            return [
                Observed({name: outputs[f"{number}/{name}"] for name in run.outputs},
                         counted[number])
                for number, run in enumerate(traffic)
            ]
