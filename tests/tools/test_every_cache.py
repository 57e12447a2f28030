"""Everything that is kept is kept by one of two mechanisms, both of which check what they read."""

import re
from pathlib import Path

import numpy as np
import pytest

import trilobite
from trilobite.fpga.planner import plan_program
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.predictions import store
from trilobite.sim.verify.cycles.cases import HARDWARE, MODELS
from trilobite.tools.cache import CacheWarning, cache_folder, private_folder

ROOT = Path(trilobite.__file__).parent
FLOORS = ("api", "cli", "sim", "fpga", "hw", "npu", "runtime", "quant", "numerics", "tools")


def modules_with(pattern):
    return {str(path.relative_to(ROOT)) for floor in FLOORS for path in (ROOT / floor).rglob("*.py")
            if re.search(pattern, path.read_text())}


def test_no_cache_is_read_but_by_what_checks_it():
    """``tests/tools/test_cache.py`` and ``test_compiled_store.py`` damage both in every way."""
    assert modules_with(r"\b(private_folder|cache_folder)\(") == {
        "tools/cache.py", "tools/compiled_store.py",
        "sim/explore/tasks.py",   # where a cluster writes; it is not read again
    }
    kinds = {"sim", "synth", "cycles", "checked", "rtl-counts"}
    users = modules_with(r"\bcached_folder\(") - {"tools/cache.py"}
    named = set()
    for user in users:
        named |= set(re.findall(r'\bcached_folder\(\s*"([\w-]+)"', (ROOT / user).read_text()))
    assert named >= kinds


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY garbage"])
def test_damaged_cycles_are_counted_again(tmp_path, monkeypatch, damage):
    (tmp_path / "compiled").symlink_to(private_folder("compiled"))
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path))
    program = plan_program(MODELS["bitnet-96"], HARDWARE["small"].parameters, 130)
    step = program, DdrTiming(), 1, 5, True
    counts = store.stored_trace(*step)
    file, = cache_folder("cycles").glob("*/counts.npy")
    file.write_bytes(damage)
    with pytest.warns(CacheWarning, match="damaged"):
        assert np.array_equal(store.stored_trace(*step), counts)
    assert np.array_equal(store.stored_trace(*step), counts)
