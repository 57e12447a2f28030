"""AXI masters behind a ``PortDrain``, as a core's are."""

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from trilobite.hw.memory.port_drain import PortDrain
from trilobite.hw.memory.read_master import ReadMaster
from trilobite.hw.memory.write_master import WriteMaster

PORT = {"address_width": 17, "word_bytes": 4}
MASTERS = {**PORT, "max_burst": 8, "outstanding": 3, "count_width": 10}


class DrainedMasters(wiring.Component):
    """A read and a write master that ``abort`` resets."""

    def __init__(self):
        self.parts = ReadMaster(**MASTERS), WriteMaster(**MASTERS), PortDrain(**PORT)
        read, write, drain = (part.signature.members for part in self.parts)
        super().__init__({
            "i_read": read["i_request"], "o_words": read["o"], "i_write": write["i_request"],
            "i_words": write["i"], "o_done": write["o"], "read": drain["o_read"],
            "write": drain["o_write"], "abort": In(1), "aborting": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        read, write, drain = self.parts
        m.submodules.drain = drain
        for name, master in (("reader", read), ("writer", write)):
            m.submodules[name] = ResetInserter(drain.aborting)(master)
        connect(m, read.axi, drain.i_read)
        connect(m, write.axi, drain.i_write)
        for outer, inner in ((self.i_read, read.i_request), (self.o_words, read.o),
                             (self.i_write, write.i_request), (self.i_words, write.i),
                             (self.o_done, write.o), (self.read, drain.o_read),
                             (self.write, drain.o_write)):
            connect(m, flipped(outer), inner)
        m.d.comb += [drain.abort.eq(self.abort), self.aborting.eq(drain.aborting)]
        return m
