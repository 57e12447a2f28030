"""Simulators that are compiled quickly instead of for a fast simulation.

Most tests simulate a few thousand cycles, of which cocotb takes the time.
"""

import pytest

from trilobite.sim.verify.bench.simulators import SIMULATORS, Verilator

__all__ = ["quick_builds"]


@pytest.fixture(scope="module", autouse=True)
def quick_builds():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIMULATORS, "verilator", Verilator(optimize=False))
        yield
