"""A port, its controller and a chip, as one component, with few cycles of power-up."""

from amaranth.hdl import Module
from amaranth.lib.wiring import Out, connect, flipped

from trilobite.hw.component import Component
from trilobite.hw.memory.sdram import SdramController, SdramTiming
from trilobite.hw.memory.sdram_port import SdramPort
from trilobite.sim.verify.bench.sdram import SdramModel

WORDS = 1 << 14
QUICK = SdramTiming(startup=20, refresh_interval=120)


class SdramBench(Component):
    """Ports of ``SdramPort``, ``o_broken`` of the chip; its data come ``pad_delay`` later."""

    def __init__(self, pad_delay=0, timing=QUICK):
        self.pad_delay = pad_delay
        self.port = SdramPort(SdramController(timing=timing))
        self.chip = SdramModel(WORDS, pad_delay=pad_delay)
        members = self.port.signature.members
        super().__init__({
            **{name: members[name] for name in ("read", "write", "i_host", "o_host")},
            "o_broken": Out(4), "o_command": Out(3)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.port, m.submodules.chip = port, chip = self.port, self.chip
        connect(m, port.bus, chip.bus)
        for name in ("read", "write", "i_host"):
            connect(m, flipped(getattr(self, name)), getattr(port, name))
        connect(m, port.o_host, flipped(self.o_host))
        m.d.comb += [port.i_delay.eq(self.pad_delay), self.o_broken.eq(chip.o_broken),
                     self.o_command.eq(port.bus.command)]
        return m
