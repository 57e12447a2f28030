"""What is written of memories for Vivado."""

import re

import pytest
from amaranth.hdl import Module
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from trilobite.fpga.verilog import to_verilog
from trilobite.fpga.vivado.memories import prepare_memories
from trilobite.hw.streams.queue import StreamQueue


class Several(Component):
    """Memories of 16 bits: name, words, whether they are read with a clock, and their contents."""

    def __init__(self, memories):
        self.memories = memories
        super().__init__({"place": In(17), "data": In(16), "write": In(1),
                          **{name: Out(16) for name, *_ in memories}})

    def elaborate(self, platform):
        m = Module()
        for name, depth, clocked, init in self.memories:
            m.submodules[f"m_{name}"] = memory = Memory(shape=16, depth=depth, init=init)
            write, read = memory.write_port(), memory.read_port(
                domain="sync" if clocked else "comb")
            m.d.comb += [write.addr.eq(self.place), write.data.eq(self.data),
                         write.en.eq(self.write), read.addr.eq(self.place),
                         getattr(self, name).eq(read.data)]
        return m


@pytest.fixture(scope="module")
def verilog():
    return to_verilog(Several([
        ("huge", 1 << 16, True, []), ("large", 1 << 12, True, [0, 0]),
        ("small", 1 << 11, True, []), ("without_clock", 1 << 12, False, []),
        ("table", 1 << 12, True, [7, 0, 9]),
    ]), "several", prepare_memories)


def test_large_memories_say_which_blocks_they_are_for(verilog):
    found = re.findall(r'(?:ram_style = "(\w+)" \*\)\s*)?reg \[15:0\] \w+ \[(\d+):0\]', verilog)
    assert found == [("ultra", "65535"), ("block", "4095"), ("", "2047"), ("block", "4095"),
                     ("", "4095")]   # by name


def test_only_what_is_not_zero_has_a_line_for_each_word(verilog):
    assert len(re.findall(r"^\s+\w+\[\d+\] = 16'h", verilog, re.M)) == 1 << 12
    assert "[0] = 16'h0007" in verilog


def test_a_queue_keeps_its_words_and_what_surrounds_its_memory():
    """Nothing but memories is touched, and a signal of no bits is none."""
    plain = to_verilog(StreamQueue(129, 1763), "queue")
    prepared = to_verilog(StreamQueue(129, 1763), "queue", prepare_memories)
    without = re.sub(r"  initial begin\n(?:    storage\[\d+\] = 129'h0+;\n)+  end\n", "", plain)
    assert without != plain
    assert prepared.replace('  (* ram_style = "block" *)\n', "") == without
    assert "[-1:0]" not in prepared
