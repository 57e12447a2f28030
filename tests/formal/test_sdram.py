"""No sequence of requests makes the SDRAM's controller break a rule of the chip."""

import pytest
from amaranth.hdl import Assert, Cover
from amaranth.lib import stream
from amaranth.lib.wiring import In, connect, flipped

from support.formal import Proof, constant, held, prove, reach
from trilobite.hw.memory.sdram import (
    Command,
    SdramController,
    SdramGeometry,
    SdramTiming,
    sdram_request_layout,
)
from trilobite.hw.memory.write_master import written_layout
from trilobite.sim.verify.bench.sdram import Broken, SdramRules

GEOMETRY = SdramGeometry(columns=3, banks=1, rows=11)   # bit 10 of an address says: all banks
# From power-up, 32 cycles of refreshes; a refresh falls due among the requests behind them.
TIMING = SdramTiming(startup=2, refresh_interval=45)
DEPTH = 64


class KeptRules(Proof):
    """The controller, whatever is asked of it, and the chip's rules at its bus."""

    def __init__(self):
        super().__init__({
            "i": In(stream.Signature(sdram_request_layout(GEOMETRY))),
            "i_data": In(stream.Signature(written_layout(4))),
            "o_ready": In(1), "dq_i": In(32), "delay": In(3)})

    def specify(self, m):
        m.submodules.controller = controller = SdramController(GEOMETRY, TIMING)
        m.submodules.rules = rules = SdramRules(GEOMETRY)
        connect(m, flipped(self.i), controller.i)
        connect(m, flipped(self.i_data), controller.i_data)
        bus = controller.bus
        m.d.comb += [
            controller.o.ready.eq(self.o_ready), bus.dq_i.eq(self.dq_i),
            controller.i_delay.eq(constant(m, self.delay)),
            *(getattr(rules, name).eq(getattr(bus, name))
              for name in ("command", "bank", "address", "dq_oe")),
            Assert(rules.o_broken == Broken.NONE),
            Cover((bus.command == Command.WRITE) & (rules.o_broken == Broken.NONE)),
            Cover(controller.o.valid & controller.o.p.last),
        ]
        held(m, controller.o.valid, controller.o.ready, controller.o.p)


@pytest.mark.slow
def test_no_rule_is_broken(tmp_path):
    prove(KeptRules(), tmp_path, DEPTH)


@pytest.mark.slow
def test_words_are_written_and_read(tmp_path):
    reach(KeptRules(), tmp_path, DEPTH)
