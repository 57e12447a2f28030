"""The SDRAM's controller on a model of a chip that knows the chip's rules."""

from dataclasses import replace

import pytest

from support.sdram_bench import QUICK, SdramBench
from trilobite.errors import ToolError
from trilobite.hw.memory.sdram import SdramTiming
from trilobite.sim.verify.bench import build, run_tests

pytest.importorskip("cocotbext.axi")


# Each in a simulation of its own: the chip keeps what it holds.
@pytest.mark.parametrize("test", [
    "what_was_written_is_read", "both_directions_and_a_host_at_once",
    "a_stream_within_rows_takes_a_cycle_per_word",
    "a_write_without_its_words_holds_up_nobody", "bursts_are_taken_long_before_their_words"])
def test_words_come_back_and_no_rule_of_the_chip_is_broken(test):
    run_tests(build(SdramBench(), "sdram"), "support.sdram_tests", [test])


@pytest.mark.parametrize("pad_delay", [3, 7])
def test_data_that_come_later_are_taken_later(pad_delay):
    run_tests(build(SdramBench(pad_delay=pad_delay), "sdram"), "support.sdram_tests",
              ["what_was_written_is_read"])


# Only a refresh closes a row that was just opened, so refreshes come often where that is wrong.
@pytest.mark.parametrize("wrong", [
    {"active": 1, "refresh_interval": 23}, {"recovery": 1}, {"turnaround": 2}, {"refresh": 1},
    {"refresh_interval": 1000}])
def test_the_model_finds_commands_that_come_too_soon(wrong):
    timing = replace(QUICK, **wrong)
    with pytest.raises(ToolError, match="failed in both_directions_and_a_host_at_once"):
        run_tests(build(SdramBench(timing=timing), "sdram"), "support.sdram_tests",
                  ["both_directions_and_a_host_at_once"])


def test_times_follow_from_the_clock():
    assert SdramTiming.at(50e6) == SdramTiming()
    slow = SdramTiming.at(25e6)
    assert (slow.startup, slow.refresh_interval, slow.refresh, slow.active) == (5000, 190, 2, 2)
    with pytest.raises(ValueError, match="at most 50 MHz, not 60"):
        SdramTiming.at(60e6)
