"""The control registers, driven by an AXI4-Lite master of cocotbext-axi."""

import pytest

from trilobite.fpga.control import Control
from trilobite.sim.verify.bench import build, run_tests

pytest.importorskip("cocotbext.axi")


def test_the_registers_do_what_is_said_of_them():
    run_tests(build(Control(), "control"), "support.control_tests", [
        "a_run_is_started_with_what_was_written", "nothing_starts_while_busy_failed_or_aborting",
        "an_error_and_counters_can_be_read", "unknown_addresses_answer_slverr"])
