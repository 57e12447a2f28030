"""Resets in the middle of memory accesses, on a memory of cocotbext-axi."""

import pytest

from support.drained_masters import PORT, DrainedMasters
from trilobite.hw.memory.port_drain import PortDrain
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import build, run_tests

pytest.importorskip("cocotbext.axi")


def test_an_abort_leaves_memory_and_port_in_order():
    run_tests(build(DrainedMasters(), "drained"), "support.drain_tests",
              ["an_abort_at_any_time_ends_what_was_begun",
               "an_abort_with_stalls_on_all_channels"])


def test_a_port_without_bursts_is_refused():
    with never_elaborated(), pytest.raises(ValueError, match="outstanding must be a positive"):
        PortDrain(**PORT, outstanding=0)
