"""Predictions that were made before, by the content of what they were made of."""

from __future__ import annotations

from dataclasses import astuple
from functools import cache
from pathlib import Path

import numpy as np

from ...fpga.compiler import Program
from ...tools import cache as folders
from .. import cycle_model
from ..cycle_model.constants import step_constants
from ..cycle_model.predict import trace_step
from ..descriptions.ddr_timing import DdrTiming

__all__ = ["stored_trace"]

_FILE = "counts.npy"


def stored_trace(program: Program, timing: DdrTiming, tokens: int, position: int,
                 chooses: bool) -> np.ndarray:
    """``trace_step``, read from the user's cache if it is there, and kept there if it is not."""
    step = (tokens, position, chooses)
    c = step_constants(program, timing, *step, started=0)
    key = folders.content_key([
        _model(), str(sorted(c.items())), str([one.pack() for one in program.descriptors]),
        str([astuple(tile) for tile in program.tiles]), str(astuple(program.parameters))])

    def fill(folder: Path) -> None:
        np.save(folder / _FILE, trace_step(program, timing, *step))

    return np.load(folders.cached_folder("cycles", key, fill) / _FILE)


@cache
def _model() -> str:
    """The source of the model: another one predicts anew."""
    folder = Path(str(cycle_model.__file__)).parent
    return "".join(path.read_text() for path in sorted(folder.glob("*.py")))
