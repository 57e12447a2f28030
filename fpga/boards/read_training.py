"""When data come from the SDRAM, found by trying."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hw.component import Component
from ...hw.memory.sdram import MOST_DELAY
from ...hw.memory.sdram_port import host_access_layout

__all__ = ["ReadTraining"]

_PATTERN = (0x1E2D_3C4B, 0xE1D2_C3B4)   # of words 0 and 1: no two halves are alike


class ReadTraining(Component):
    """Write two words, and read them with every delay until they come back; then pass on accesses.

    How long data are under way between the registers of the pads and the chip is not known before a
    board is there; it does not change while it is switched on. Words 0 and 1 are overwritten once.

    Members
    -------
    i : ``In(stream.Signature(host_access_layout(word_bits)))``, o_word : ``Out(...)``
        The accesses of the host, after the training, and the words that it reads.
    o : ``Out(...)``, i_word : ``In(...)``
        They are connected to ``SdramPort``.
    o_delay : ``Out(range(MOST_DELAY + 1))``
        The delay that is tried, or that was found.
    o_done : ``Out(1)``
        It was found.
    """

    def __init__(self, word_bits: int) -> None:
        access, word = stream.Signature(host_access_layout(word_bits)), stream.Signature(32)
        super().__init__({
            "i": In(access), "o": Out(access), "i_word": In(word), "o_word": Out(word),
            "o_delay": Out(range(MOST_DELAY + 1)), "o_done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        number, wrong = Signal(), Signal()
        expected = Mux(number, *(Const(value, 32) for value in reversed(_PATTERN)))

        def ask(write: bool) -> None:
            m.d.comb += [self.o.valid.eq(1), self.o.p.word.eq(number), self.o.p.write.eq(write),
                         Cat(self.o.p.written.data).eq(expected), self.o.p.written.strobe.eq(-1)]

        with m.FSM():
            with m.State("write"):
                ask(write=True)
                with m.If(self.o.ready):
                    m.d.sync += number.eq(~number)
                    with m.If(number):
                        m.next = "read"
            with m.State("read"):
                ask(write=False)
                with m.If(self.o.ready):
                    m.next = "compare"
            with m.State("compare"):
                m.d.comb += self.i_word.ready.eq(1)
                with m.If(self.i_word.valid):
                    m.d.sync += [number.eq(~number), wrong.eq(0)]
                    m.next = "read"
                    with m.If(wrong | (self.i_word.p != expected)):
                        m.d.sync += wrong.eq(1)
                    with m.If(number):
                        m.next = "judge"
            with m.State("judge"):
                m.d.sync += wrong.eq(0)
                m.next = "read"
                with m.If(wrong):
                    m.d.sync += self.o_delay.eq(self.o_delay + 1)
                with m.Else():
                    m.next = "pass"
            with m.State("pass"):
                m.d.comb += self.o_done.eq(1)
                connect(m, flipped(self.i), flipped(self.o))
                connect(m, flipped(self.i_word), flipped(self.o_word))
        return m
