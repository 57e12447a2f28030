"""A large memory for testbenches, written in Verilog."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module
from amaranth.lib.wiring import In, Out

from ....hw.component import Component

__all__ = ["RAM_MODULE", "RAM_VERILOG", "Ram"]

RAM_MODULE = "trilobite_ram"

RAM_VERILOG = f"""
module {RAM_MODULE} #(parameter WIDTH = 8, DEPTH = 1, WORD = 1) (
  input clk,
  input [WORD-1:0] read_word, output [WIDTH-1:0] read_data,
  input [WORD-1:0] write_word, input [WIDTH-1:0] write_data, input [WIDTH/8-1:0] write_strobe
);
  reg [WIDTH-1:0] words [0:DEPTH-1];
  integer lane;
  initial for (lane = 0; lane < DEPTH; lane = lane + 1) words[lane] = 0;
  assign read_data = words[read_word];
  always @(posedge clk)
    for (lane = 0; lane < WIDTH/8; lane = lane + 1)
      if (write_strobe[lane])
        words[write_word][8*lane +: 8] <= write_data[8*lane +: 8];
endmodule
"""


class Ram(Component):
    """``depth`` words of ``word_bytes``, zero at first; one asynchronous read, one write.

    For simulation only. It is not an Amaranth ``Memory``, because that writes a line of Verilog
    for each word, which takes minutes for the memories that hold a model's layer. ``Design``
    appends ``RAM_VERILOG`` to a design that has one.

    Members
    -------
    read_word : ``In(range(depth))``
    read_data : ``Out(8 * word_bytes)``
        In the same cycle.
    write_word, write_data, write_strobe : ``In(...)``
        Written at the end of the cycle, the bytes whose strobe is set.
    """

    def __init__(self, *, depth: int, word_bytes: int) -> None:
        self.depth = depth
        self.word_bytes = word_bytes
        super().__init__({
            "read_word": In(range(depth)),
            "read_data": Out(8 * word_bytes),
            "write_word": In(range(depth)),
            "write_data": In(8 * word_bytes),
            "write_strobe": In(word_bytes),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = Instance(
            RAM_MODULE,
            ("p", "WIDTH", 8 * self.word_bytes),
            ("p", "DEPTH", self.depth),
            ("p", "WORD", len(self.read_word)),
            ("i", "clk", ClockSignal()),
            ("i", "read_word", self.read_word),
            ("o", "read_data", self.read_data),
            ("i", "write_word", self.write_word),
            ("i", "write_data", self.write_data),
            ("i", "write_strobe", self.write_strobe),
        )
        return m
