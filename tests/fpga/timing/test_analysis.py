"""From a component to its timing: mapped by Yosys once, analysed once, read from the cache."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from trilobite.errors import ToolError
from trilobite.fpga.synth.blocks import SynthBlock
from trilobite.fpga.synth.flow import map_block
from trilobite.fpga.synth.targets import TARGETS
from trilobite.fpga.timing import analysis
from trilobite.fpga.timing.analysis import analyse, target_clock
from trilobite.sim.descriptions.accelerator import load_accelerator


class Product(wiring.Component):
    """A product of two registered factors, in a register: one DSP block, wholly registered."""

    def __init__(self):
        super().__init__({"i_a": In(16), "i_b": In(16), "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        a, b, product = (wiring.Signature({"x": Out(n)}).create().x for n in (16, 16, 32))
        m.d.sync += [a.eq(self.i_a), b.eq(self.i_b), product.eq(a * b), self.o.eq(product)]
        return m


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRILOBITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield map_block(SynthBlock("product", lambda _: Product()),
                        load_accelerator("demo").whole(), TARGETS["kv260"])


def test_the_registers_in_the_rtl_are_those_of_the_dsp_block(mapped):
    found = analyse(mapped, 250.0)
    assert found.cells == {"DSP48E2 with AREG BREG MREG PREG": 1}
    assert found.deepest == 0 and found.over["pessimistic"] == 0
    assert 300 < found.mhz["pessimistic"] < found.mhz["nominal"] < found.mhz["optimistic"]
    assert not (found.cut or found.lost or found.credited)


def test_an_analysis_is_kept_for_each_target(mapped, monkeypatch):
    first = analyse(mapped, 250.0)
    real = analysis.analyse_netlist
    calls = []
    monkeypatch.setattr(analysis, "analyse_netlist",
                        lambda *arguments: calls.append(arguments) or real(*arguments))
    assert analyse(mapped, 250.0) == first and not calls
    assert analyse(mapped, 900.0).over["nominal"] > 0
    assert len(calls) == 1


def test_the_target_is_that_of_the_device_where_none_is_given():
    assert target_clock(TARGETS["kv260"]) == 250
    assert target_clock(TARGETS["ecp5-85f"]) == 50
    assert target_clock(TARGETS["kv260"], 300.0) == 300
    with pytest.raises(ToolError, match="above 0 MHz: -1"):
        target_clock(TARGETS["kv260"], -1.0)
