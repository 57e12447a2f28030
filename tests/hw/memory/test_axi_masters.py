"""The AXI masters on a memory of cocotbext-axi, and with answers that no memory should give."""

import pytest
from amaranth.sim import Simulator

from support.registered import assert_outputs_are_registered
from trilobite.hw.memory.axi import BurstAttributes
from trilobite.hw.memory.burst_splitter import BurstSplitter
from trilobite.hw.memory.port_errors import PortErrors
from trilobite.hw.memory.read_master import ReadMaster
from trilobite.hw.memory.write_master import WriteMaster
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import build, run_tests

pytest.importorskip("cocotbext.axi")

PORT = {"address_width": 17, "outstanding": 3, "count_width": 10, "timeout": 64}
SHAPES = {"short": {"word_bytes": 4, "max_burst": 8}, "long": {"word_bytes": 16, "max_burst": 256}}
TESTS = {
    ReadMaster: ["reads_with_stalls_on_all_channels",
                 "a_refused_word_is_reported_and_nothing_starves",
                 "a_reset_at_any_time_drops_everything", "every_broken_answer_has_its_code",
                 "silence_is_reported_and_the_answer_still_taken"],
    WriteMaster: ["writes_with_stalls_on_all_channels", "only_the_refused_request_fails",
                  "a_reset_at_any_time_drops_everything", "every_broken_answer_has_its_code",
                  "silence_is_reported_and_the_answer_still_taken",
                  "a_slave_that_takes_address_and_word_together_is_served"],
}


def master(kind, shape, simulator="verilator"):
    return build(kind(**PORT, **SHAPES[shape]), "master", simulator)


def run_all(kind, simulation):
    module = {ReadMaster: "read_master_tests", WriteMaster: "write_master_tests"}[kind]
    run_tests(simulation, f"support.{module}", TESTS[kind])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", TESTS)
def test_a_master_keeps_the_rules_and_moves_the_data(kind, shape):
    run_all(kind, master(kind, shape))


@pytest.mark.icarus
@pytest.mark.parametrize("kind", TESTS)
def test_a_master_in_icarus(kind):
    run_all(kind, master(kind, "short", "icarus"))


@pytest.mark.parametrize("kind", TESTS)
def test_no_output_depends_on_an_input_within_the_cycle(kind):
    assert_outputs_are_registered(master(kind, "short"))


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"max_burst": 3}, "max_burst must be a power of two from 2 to 256, not 3"),
    ({"max_burst": 1}, "max_burst must be a power of two from 2 to 256, not 1"),
    ({"max_burst": 512}, "max_burst must be a power of two from 2 to 256, not 512"),
    ({"word_bytes": 64, "max_burst": 128}, "128 words of 64 bytes is longer than 4096 bytes"),
    ({"word_bytes": 12}, "AXI words have 1, 2, 4, ... 128 bytes, not 12"),
])
def test_bursts_that_axi_does_not_allow_are_refused(changed, sentence):
    good = {"address_width": 32, "word_bytes": 16, "max_burst": 16, "count_width": 8}
    with never_elaborated(), pytest.raises(ValueError, match=sentence):
        BurstSplitter(**good | changed)


@pytest.mark.parametrize("kind", TESTS)
def test_a_master_without_bursts_is_refused(kind):
    with never_elaborated(), pytest.raises(ValueError, match="outstanding must be a positive"):
        kind(**PORT | SHAPES["short"] | {"outstanding": 0})


@pytest.mark.parametrize("kind", TESTS)
def test_the_attributes_of_bursts_are_those_that_were_chosen(kind):
    dut = kind(**PORT | SHAPES["short"], attributes=BurstAttributes(cache=0b1111, prot=0b010))
    simulator = Simulator(dut)

    async def testbench(ctx):
        channel = kind.channel
        assert ctx.get(getattr(dut.axi, f"{channel}cache")) == 0b1111
        assert ctx.get(getattr(dut.axi, f"{channel}prot")) == 0b010

    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"cache": 16}, "cache must be a whole number from 0 to 15, not 16"),
    ({"prot": -1}, "prot must be a whole number from 0 to 7, not -1")])
def test_attributes_that_do_not_exist_are_refused(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        BurstAttributes(**changed)


def test_a_timeout_of_no_cycles_is_refused():
    with never_elaborated(), pytest.raises(ValueError, match="timeout must be a positive number"):
        PortErrors(0)
