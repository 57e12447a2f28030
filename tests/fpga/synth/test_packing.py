"""Registers and adders that are packed into DSP blocks: does the netlist still compute the same?"""

import json
import random
import subprocess

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from trilobite.fpga.synth.targets import TARGETS
from trilobite.fpga.synth.tools import yosys
from trilobite.hw.attention.query_lane import QueryLane
from trilobite.hw.floats.format import FLOAT32
from trilobite.hw.floats.multiply import FloatMultiply
from trilobite.hw.streams.ports import component_ports, to_rtlil
from trilobite.sim.descriptions.accelerator import load_accelerator

PARAMETERS = load_accelerator("demo").whole()
COMPONENTS = {
    "float-multiply": lambda: FloatMultiply(FLOAT32),
    "query-lane": lambda: QueryLane(PARAMETERS.attention),
}


class Exerciser(wiring.Component):
    """Feed all inputs of a component from a long shift register; its outputs side by side."""

    def __init__(self, component):
        self.component = component
        ports = component_ports(component).values()
        self.inputs = Cat(port for flow, port in ports if flow is In)
        self.outputs = Cat(port for flow, port in ports if flow is Out)
        super().__init__({"o": Out(len(self.outputs))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = self.component
        taps = (0, 7, 30, 55)
        width = len(self.inputs) + max(taps) + 1
        state = Signal(width, init=random.Random(0).getrandbits(width))
        feedback = Signal()
        m.d.comb += [feedback.eq(Cat(state[tap] for tap in taps).xor()),
                     self.inputs.eq(state), self.o.eq(self.outputs)]
        m.d.sync += state.eq(Cat(state[1:], feedback))
        return m


_CYCLES = 400
_BENCH = f"""
module bench;
  reg clk = 0;
  wire differ;
  wire [{{width}}-1:0] o;
  reg [{{width}}-1:0] last = 0;
  integer cycle, changes = 0, differences = 0;
  miter miter(.in_clk(clk), .in_rst(1'b0), .gold_o(o), .trigger(differ));
  initial begin
    for (cycle = 0; cycle < {_CYCLES}; cycle = cycle + 1) begin
      #5 clk = 1;
      #5 clk = 0;
      if (differ !== 0) differences = differences + 1;
      if (o !== last) changes = changes + 1;
      last = o;
    end
    $display("%0d %0d", changes, differences);
  end
endmodule
"""


def pack(folder, design):
    """Pack ``design`` as far as DSP48E1, of which Yosys has a model; how many blocks there are.

    Leaves ``miter.v``, in which it runs beside the design as described.
    """
    (folder / "design.il").write_text(to_rtlil(design, "top", emit_src=False))
    script = TARGETS["kv260"].script
    yosys(folder, f"{script[: script.index('techmap -map dsp48e2.v')]} select top; "
                  "tee -q -o stat.json stat -json; write_rtlil -selected packed.il")
    yosys(folder, "read_verilog +/xilinx/cells_sim.v; read_rtlil packed.il; rename top gate; "
                  "hierarchy -top gate; proc; flatten; select gate; write_rtlil -selected gate.il")
    yosys(folder, "read_rtlil design.il; rename top gold; hierarchy -top gold; proc; flatten; "
                  "memory_collect; read_rtlil gate.il; "
                  "miter -equiv -flatten -make_outputs gold gate miter; "
                  "hierarchy -top miter; opt_clean; write_verilog -noattr miter.v")
    (top,) = json.loads((folder / "stat.json").read_text())["modules"].values()
    return top["num_cells_by_type"]["DSP48E1"]


@pytest.mark.icarus
@pytest.mark.parametrize(("name", "blocks"), [("float-multiply", 2), ("query-lane", 32)])
def test_what_is_packed_into_dsp_blocks_computes_the_same(name, blocks, tmp_path):
    design = Exerciser(COMPONENTS[name]())
    assert pack(tmp_path, design) == blocks
    (tmp_path / "bench.v").write_text(_BENCH.format(width=len(design.o)))
    compiled = tmp_path / "bench.vvp"
    subprocess.run(["iverilog", "-o", compiled, tmp_path / "miter.v", tmp_path / "bench.v"],
                   check=True)
    result = subprocess.run(["vvp", compiled], check=True, capture_output=True, text=True)
    changes, differences = map(int, result.stdout.split())
    assert changes > _CYCLES // 4   # else nothing would be compared
    assert differences == 0
