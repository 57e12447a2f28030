"""The accelerator on a ULX3S: SDRAM, serial line, and all logic between them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hw.component import Component
from ...hw.memory.sdram import SdramController, SdramGeometry, SdramTiming, sdram_bus
from ...hw.memory.sdram_port import SdramPort
from ...hw.streams.queue import StreamQueue
from ..accelerator import Accelerator
from ..accelerator_parameters import AcceleratorParameters
from ..registers import ADDRESS_WIDTH
from .no_accelerator import NoAccelerator
from .read_training import ReadTraining
from .register_master import RegisterMaster
from .uart import UartReceiver, UartTransmitter, bit_step
from .uart_bridge import UartBridge

__all__ = ["BAUD", "CLOCK_HZ", "MEMORY_BYTES", "Ulx3s"]

CLOCK_HZ = 50e6
BAUD = 3_000_000
MEMORY_BYTES = 32 << 20
_WAITING = 16   # bytes from the host that wait while memory is busy


class Ulx3s(Component):
    """An ``Accelerator`` on 32 MB of SDRAM, driven by a host at a serial line.

    Everything but what ``pads.Ulx3sTop`` adds on the device; one clock.

    Parameters
    ----------
    parameters : AcceleratorParameters
        Its words have 4 bytes, its addresses the SDRAM's 25 bits.
    clock_hz, baud : float
        The clock, and the speed of the serial line.
    timing : SdramTiming, optional
        Of the SDRAM, instead of what it needs at that clock.
    bare : bool
        ``NoAccelerator`` instead of the accelerator.

    Members
    -------
    rx : ``In(1)``, tx : ``Out(1)``
        The serial line, as the board sees it.
    bus : ``Out(sdram_bus(...))``
        The SDRAM.
    o_leds : ``Out(3)``
        The SDRAM answers; a byte of the host waits; the accelerator interrupts.

    Raises
    ------
    ValueError
        Parameters do not fit the board, or ``baud`` the clock.
    """

    def __init__(self, parameters: AcceleratorParameters, clock_hz: float = CLOCK_HZ,
                 baud: float = BAUD, timing: SdramTiming | None = None,
                 bare: bool = False) -> None:
        p = self.parameters = parameters
        geometry = SdramGeometry()
        if p.word_bytes != 4 or 1 << p.address_width != MEMORY_BYTES:
            raise ValueError("The accelerator of a ULX3S has word_bytes = 4 and address_width = "
                             f"25, not {p.word_bytes} and {p.address_width}")
        step = bit_step(clock_hz, baud)
        self._accelerator = (NoAccelerator if bare else Accelerator)(p, p.address_width)
        self._port = SdramPort(SdramController(geometry, timing or SdramTiming.at(clock_hz)))
        self._training = ReadTraining(geometry.word_bits)
        self._bridge = UartBridge(geometry.word_bits, ADDRESS_WIDTH)
        self._receiver, self._transmitter = UartReceiver(step), UartTransmitter(step)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1),
                          "bus": Out(sdram_bus(geometry)), "o_leds": Out(3)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = self._accelerator
        m.submodules.port, m.submodules.training = port, training = self._port, self._training
        m.submodules.bridge, m.submodules.registers = bridge, registers = (
            self._bridge, RegisterMaster())
        m.submodules.receiver, m.submodules.transmitter = receiver, transmitter = (
            self._receiver, self._transmitter)
        m.submodules.received = received = StreamQueue(8, _WAITING)

        # The line, and what the host asks for.
        m.d.comb += [
            receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx),
            received.i.p.eq(receiver.o.p), received.i.valid.eq(receiver.o.valid),
        ]
        connect(m, received.o, bridge.i)
        connect(m, bridge.o, transmitter.i)
        connect(m, bridge.o_register, registers.i)
        m.d.comb += [bridge.i_register.p.eq(registers.o.p),
                     bridge.i_register.valid.eq(registers.o.valid)]
        connect(m, registers.axi, accelerator.control)
        m.d.comb += bridge.i_interrupt.eq(accelerator.interrupt)

        # Memory.
        connect(m, bridge.o_memory, training.i)
        connect(m, training.o_word, bridge.i_word)
        connect(m, training.o, port.i_host)
        connect(m, port.o_host, training.i_word)
        connect(m, accelerator.read, port.read)
        connect(m, accelerator.write, port.write)
        connect(m, port.bus, flipped(self.bus))
        m.d.comb += [port.i_delay.eq(training.o_delay),
                     self.o_leds.eq(Cat(training.o_done, received.o.valid, accelerator.interrupt))]
        return m
