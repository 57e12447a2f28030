"""Run cocotb tests on a build, and believe them only if they ran."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from cocotb_tools import config as cocotb_config
from find_libpython import find_libpython

from ....errors import ToolError
from ....tools.environment import import_path
from ....tools.programs import started
from ....tools.progress import SILENT, Progress
from ....tools.scratch import scratch_folder
from .build import Build

__all__ = ["DONE", "run_tests"]

DONE = "trilobite-done"   # a simulation prints this line when a part of its work is done


def run_tests(build: Build, module: str, tests: Sequence[str], *,
              environment: Mapping[str, str] | None = None, seed: int = 0,
              waves: Path | None = None,
              progress: Progress = SILENT) -> None:
    """Run the cocotb tests called ``tests`` of ``module`` in one simulation, in a scratch folder.

    Parameters
    ----------
    build : Build
        What to simulate.
    module : str
        Importable name of the Python module with the tests.
    tests : Sequence[str]
        The tests to run. Exactly these must be reported as passed.
    environment : Mapping[str, str], optional
        Variables for the tests, on top of those of ``child_environment``.
    seed : int
        ``cocotb.RANDOM_SEED`` is derived from it.
    waves : Path, optional
        File for the waves; its suffix must be the build's ``wave_suffix``.
    progress : Progress
        It advances by one for each line ``DONE`` that the simulation prints, as it prints it.

    Raises
    ------
    ToolError
        A test failed or did not run; the message holds its reason.
    """
    if waves is not None and waves.suffix != build.wave_suffix:
        raise ToolError(f"This build of {build.design.name} writes {build.wave_suffix} waves, "
                        f"not {waves.name}")
    with scratch_folder() as folder, _recorded(waves) as target:
        command = build.simulator.command(build.design, build.folder, target)
        results = folder / "results.xml"
        settings = {
            **_cocotb_environment(build, module, tests, results, seed),
            **build.simulator.environment,
            **(environment or {}),
        }
        tail = _run(command, folder, settings, progress)
        problem = _problem(results, tests)
    if problem is not None:
        raise ToolError(f"The {build.simulator.name} simulation of {build.design.name} {problem}. "
                        f"Its last lines:\n{tail}")


@contextmanager
def _recorded(waves: Path | None) -> Iterator[Path | None]:
    """Where to record, so that ``waves`` appears when the simulation has ended, failed or not."""
    if waves is None:
        yield None
        return
    with scratch_folder(waves.absolute().parent) as folder:
        recorded = folder / waves.name
        yield recorded
        if recorded.exists():
            recorded.replace(waves)


def _run(command: list[str], folder: Path, variables: dict[str, str],
         progress: Progress) -> str:
    """Run a simulation to its end and return its last lines."""
    last_lines: deque[str] = deque(maxlen=40)
    with started(command, folder, variables, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            last_lines.append(line)
            if line.rstrip() == DONE:
                progress.advance()
        process.wait()
    return "".join(last_lines)


def _cocotb_environment(build: Build, module: str, tests: Sequence[str], results: Path,
                        seed: int) -> dict[str, str]:
    libpython = find_libpython()
    if libpython is None:
        raise ToolError(f"cocotb needs the shared library of {sys.executable}, and there is none; "
                        "on Debian or Ubuntu: apt-get install libpython3-dev")
    names = "|".join(re.escape(test) for test in tests)
    return {
        "COCOTB_TOPLEVEL": build.design.name,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_TEST_FILTER": rf"\.({names})$",
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_REWRITE_ASSERTION_FILES": "",   # spares each start the import of pytest
        "TOPLEVEL_LANG": "verilog",
        "GPI_USERS": f"{libpython};{cocotb_config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(import_path(module.partition(".")[0])),
    }


def _problem(results: Path, tests: Sequence[str]) -> str | None:
    """What is wrong with a results file, or None if exactly ``tests`` ran and passed.

    A simulator that dies writes no file, and one whose filter matches nothing writes an empty one
    and exits with 0: neither may count as a pass.
    """
    try:
        cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return "ended before it had reported on its tests"
    for case in cases:
        for verdict in ("failure", "error", "skipped"):
            if (element := case.find(verdict)) is not None:
                reason = element.get("error_msg") or element.get("message") or verdict
                return f"failed in {case.get('name')}: {reason}"
    ran = sorted(case.get("name", "") for case in cases)
    if ran != sorted(tests):
        return f"ran {ran}, and not {sorted(tests)}"
    return None
