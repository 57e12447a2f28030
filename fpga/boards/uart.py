"""A serial line: 8 bits, no parity, one stop bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ...hw.component import Component

__all__ = ["UartReceiver", "UartTransmitter", "bit_step"]

PHASE_BITS = 16
_FRAME_BITS = 10   # start, eight of data, stop


def bit_step(clock_hz: float, baud: float) -> int:
    """What a phase of ``PHASE_BITS`` bits advances by in a cycle.

    Raises
    ------
    ValueError
        A bit has less than four cycles.
    """
    step = round((1 << PHASE_BITS) * baud / clock_hz)
    if not 0 < step <= 1 << PHASE_BITS - 2:
        raise ValueError(f"{baud:g} baud take a clock of {4 * baud:g} Hz or more, not "
                         f"{clock_hz:g} Hz")
    return step


class UartReceiver(Component):
    """Bytes from a line. What comes while ``o`` is not taken is lost.

    Parameters
    ----------
    step : int
        Of ``bit_step``.

    Members
    -------
    rx : ``In(1)``
        The line, which knows nothing of the clock.
    o : ``Out(stream.Signature(8))``
        Bytes, valid for one cycle. A byte without its stop bit is dropped.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        line = Signal(3, init=0b111)
        m.d.sync += line.eq(Cat(self.rx, line[:2]))
        bit = line[2]
        phase, ends = Signal(PHASE_BITS), Signal()
        left, shifted = Signal(range(_FRAME_BITS + 1)), Signal(8)
        later = Signal(PHASE_BITS + 1)
        m.d.comb += [later.eq(phase + self.step), ends.eq(later[-1])]
        m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            m.d.sync += phase.eq(1 << PHASE_BITS - 1)   # sampled in the middle of bits
            with m.If(~bit):
                m.d.sync += left.eq(_FRAME_BITS)
        with m.Else():
            m.d.sync += phase.eq(later)
            with m.If(ends):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.d.sync += [self.o.valid.eq(bit), self.o.p.eq(shifted)]
                with m.Elif((left == _FRAME_BITS) & bit):
                    m.d.sync += left.eq(0)   # no start bit, but a spike
                with m.Else():
                    m.d.sync += shifted.eq(Cat(shifted[1:], bit))
        return m


class UartTransmitter(Component):
    """Bytes to a line.

    Parameters
    ----------
    step : int
        Of ``bit_step``.

    Members
    -------
    i : ``In(stream.Signature(8))``
        Bytes.
    tx : ``Out(1)``
        The line.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        phase, left = Signal(PHASE_BITS), Signal(range(_FRAME_BITS + 1))
        shifted = Signal(_FRAME_BITS, init=-1)
        later = Signal(PHASE_BITS + 1)
        m.d.comb += [later.eq(phase + self.step), self.i.ready.eq(left == 0)]
        m.d.sync += self.tx.eq(shifted[0])
        with m.If(left != 0):
            m.d.sync += phase.eq(later)
            with m.If(later[-1]):
                m.d.sync += [left.eq(left - 1), shifted.eq(Cat(shifted[1:], 1))]
        with m.Elif(self.i.valid):
            m.d.sync += [shifted.eq(Cat(0, self.i.p, 1)), left.eq(_FRAME_BITS), phase.eq(0)]
        return m
