"""A ULX3S and its SDRAM, with the serial line outside."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out, connect

from ....fpga.accelerator_parameters import AcceleratorParameters
from ....fpga.boards.ulx3s import Ulx3s
from ....hw.component import Component
from ..bench.sdram import SdramModel

__all__ = ["BIT_CYCLES", "SerialBench"]

BIT_CYCLES = 8   # of a bit of the serial line: it would be 17 at 3 Mbaud and 50 MHz
_CLOCK_HZ = 50e6


class SerialBench(Component):
    """A board's logic and the model of its chip.

    Parameters
    ----------
    parameters : AcceleratorParameters
        Of the accelerator.
    words : int
        Words of the memory that is simulated.
    pad_delay : int
        Of ``SdramModel``.
    bare : bool
        Of ``Ulx3s``.

    Members
    -------
    rx : ``In(1)``, tx : ``Out(1)``
        The line.
    o_broken : ``Out(4)``
        The rule of the SDRAM that was broken.
    """

    def __init__(self, parameters: AcceleratorParameters, words: int, pad_delay: int = 5,
                 bare: bool = False) -> None:
        self._board = Ulx3s(parameters, _CLOCK_HZ, _CLOCK_HZ / BIT_CYCLES, bare=bare)
        self._chip = SdramModel(words, pad_delay=pad_delay)
        super().__init__({"rx": In(1, init=1), "tx": Out(1), "o_broken": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.board, m.submodules.chip = board, chip = self._board, self._chip
        connect(m, board.bus, chip.bus)
        m.d.comb += [board.rx.eq(self.rx), self.tx.eq(board.tx), self.o_broken.eq(chip.o_broken)]
        return m
