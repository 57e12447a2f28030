"""Two first runs at once, with one empty cache: both are right, and what is kept is whole."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from trilobite.tools.cache import cached_folder

SIMULATES = """
from support.probes import Register
from trilobite.sim.verify.bench import build, run_tests
run_tests(build(Register(), "register", {simulator!r}), "support.probes", ["passes"])
print("passed")
"""
COMMAND = "import sys\nfrom trilobite.cli import main\nmain()"


def at_once(folder, code, *arguments):
    """What two processes print that begin together with a cache in ``folder``."""
    variables = {**os.environ, "TRILOBITE_CACHE": str(folder / "cache"),
                 "PYTHONPATH": str(Path(__file__).parents[1])}
    running = [subprocess.Popen([sys.executable, "-c", code, *arguments], env=variables, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], ends
    return [said for said, _ in ends]


def is_whole(monkeypatch, folder, kind):
    """Whether everything that is kept of a kind is whole, and nothing else lies there."""
    monkeypatch.setenv("TRILOBITE_CACHE", str(folder / "cache"))
    names = {path.name for path in (folder / "cache" / kind).iterdir()}
    kept = {name for name in names if f"{name}.sha256" in names}
    with warnings.catch_warnings():
        warnings.simplefilter("error")   # that one is damaged
        for name in kept:
            cached_folder(kind, name, lambda _: pytest.fail("made again"))
    return names == {one for name in kept for one in (name, f"{name}.sha256", f"{name}.lock")}


@pytest.mark.parametrize("simulator", [
    pytest.param("icarus", marks=pytest.mark.icarus),
    pytest.param("verilator", marks=pytest.mark.slow)])
def test_a_simulator_is_built(tmp_path, monkeypatch, simulator):
    assert at_once(tmp_path, SIMULATES.format(simulator=simulator)) == ["passed\n"] * 2
    assert is_whole(monkeypatch, tmp_path, "sim")


@pytest.mark.slow
def test_a_block_is_synthesized(tmp_path, monkeypatch):
    command = ["synth", "--device", "kv260", "--block", "counters", "--json", "-"]
    first, second = at_once(tmp_path, COMMAND, *command)
    assert first == second
    assert is_whole(monkeypatch, tmp_path, "synth")


@pytest.mark.slow
def test_kernels_are_compiled(tmp_path):
    first, second = at_once(tmp_path, COMMAND, "generate", "demo-bitnet", "-p", "def f(", "-n", "8")
    assert first == second
    assert first
    assert not list((tmp_path / "cache" / "compiled").glob(".writing-*"))
