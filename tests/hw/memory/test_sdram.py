"""The SDRAM's controller on a model of a chip that knows the chip's rules."""

from dataclasses import replace

import pytest

from support.sdram_bench import QUICK, SdramBench
from trilobite.errors import ToolError
from trilobite.sim.verify.bench import build, run_tests

pytest.importorskip("cocotbext.axi")


# Each in a simulation of its own: the chip keeps what it holds.
@pytest.mark.parametrize("test", [
    "what_was_written_is_read", "both_directions_and_a_host_at_once",
    "a_stream_within_rows_takes_a_cycle_per_word"])
def test_words_come_back_and_no_rule_of_the_chip_is_broken(test):
    run_tests(build(SdramBench(), "sdram"), "support.sdram_tests", [test])


def test_data_that_come_later_are_taken_later():
    run_tests(build(SdramBench(pad_delay=2), "sdram"), "support.sdram_tests",
              ["what_was_written_is_read"])


@pytest.mark.parametrize("wrong", [
    {"active": 1}, {"recovery": 1}, {"turnaround": 2}, {"refresh": 1}, {"refresh_interval": 1000}])
def test_the_model_finds_commands_that_come_too_soon(wrong):
    timing = replace(QUICK, **wrong)
    with pytest.raises(ToolError, match="failed in both_directions_and_a_host_at_once"):
        run_tests(build(SdramBench(timing=timing), "sdram"), "support.sdram_tests",
                  ["both_directions_and_a_host_at_once"])
