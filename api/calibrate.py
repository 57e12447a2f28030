"""Measure the machine at hand, and make it a device that estimates know."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import TrilobiteError
from ..runtime.timing import threads as running_threads
from ..sim.descriptions.tables import own_folder
from ..sim.this_machine.calibrate import MachineCalibration, description_text
from ..sim.this_machine.calibrate import calibrate as measure
from ..sim.this_machine.runtime_estimate import THIS_MACHINE
from ..tools.compiled import config
from ..tools.files import write_output
from ..tools.progress import SILENT, Progress

__all__ = ["CalibratedMachine", "calibrate"]


@dataclass(frozen=True)
class CalibratedMachine:
    """What was measured, and the description that was written."""

    path: Path
    measured: MachineCalibration

    def to_json(self) -> dict[str, Any]:
        """JSON values: ``device`` (the file) and the fields of ``MachineCalibration``."""
        return {"device": str(self.path), **asdict(self.measured)}


def calibrate(
    path: str | Path | None = None, threads: int | None = None, progress: Progress = SILENT
) -> CalibratedMachine:
    """Measure bandwidth and kernels with ``threads`` threads, and write them as a device.

    Parameters
    ----------
    path
        The .toml file to write; None writes the user's own ``this-machine``.
    threads
        None takes as many as there are.
    progress
        Is told of each measurement.

    Raises
    ------
    TrilobiteError
        The file is no .toml file or cannot be written, or there are not so many threads.
    """
    target = Path(path) if path is not None else own_folder("devices") / f"{THIS_MACHINE}.toml"
    if target.suffix != ".toml":
        raise TrilobiteError(f"{target}: a device description is a .toml file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrilobiteError(f"{target.parent} cannot be made: {error}") from None
    most = config.NUMBA_NUM_THREADS
    with running_threads(most if threads is None else threads):
        measured = measure(progress)
    write_output(target, description_text(measured))
    return CalibratedMachine(target, measured)
