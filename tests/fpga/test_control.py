"""The control registers, driven by an AXI4-Lite master of cocotbext-axi."""

import pytest

from support.tiny_accelerator import TINY
from trilobite.fpga.control import Control
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import build, run_tests

pytest.importorskip("cocotbext.axi")


def test_the_registers_do_what_is_said_of_them():
    run_tests(build(Control(TINY), "control"), "support.control_tests", [
        "a_run_is_started_with_what_was_written", "nothing_starts_while_busy_failed_or_aborting",
        "an_error_and_counters_can_be_read", "registers_are_those_of_the_table",
        "what_is_set_is_kept_and_goes_out", "what_a_run_uses_cannot_be_set_during_one",
        "a_token_is_told_once_it_is_written",
        "interrupts_are_what_is_enabled_until_it_is_cleared"])


@pytest.mark.parametrize("width", [12, 65])
def test_a_port_has_an_address_of_some_page(width):
    with never_elaborated(), pytest.raises(ValueError, match="from 13 to 64"):
        Control(TINY, width)

