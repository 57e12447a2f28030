"""AXI4 and a host's single accesses on one SDRAM."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from ..component import Component
from ..streams.queue import BlockRamQueue, StreamQueue
from .axi import Response, read_signature, write_signature
from .sdram import MOST_DELAY, WORD_BYTES, SdramController, sdram_bus
from .write_master import written_layout

__all__ = ["SdramPort", "host_access_layout"]

_LONGEST_BURST = 256   # words, of AXI4
_MOST_BURSTS = 16      # that a master may announce before their words come: it waits for no longer


def host_access_layout(word_bits: int) -> data.StructLayout:
    """Read word number ``word``, or write those of its bytes whose strobe is set."""
    return data.StructLayout({"word": word_bits, "write": 1, "written": written_layout(WORD_BYTES)})


class SdramPort(Component):
    """A slave of both directions of AXI4, beside a host that reads and writes single words.

    Bursts are incrementing, of whole words, with one identifier: what the masters of this folder
    ask for. Whoever asks is served to the end of a burst; the host comes first, writes come before
    reads, as soon as all their words are there. A write is answered when the chip has its last
    word: who reads after that sees it.

    Members
    -------
    read, write : ``In(read_signature(...))``, ``In(write_signature(...))``
        The ports of the accelerator.
    i_host : ``In(stream.Signature(host_access_layout(...)))``
    o_host : ``Out(stream.Signature(32))``
        The words that the host reads. It must take them, or nobody else is served.
    i_delay : ``In(range(MOST_DELAY + 1))``, bus : ``Out(sdram_bus(...))``
        Those of ``SdramController``.
    """

    def __init__(self, controller: SdramController | None = None) -> None:
        self.controller = controller or SdramController()
        geometry = self.controller.geometry
        width = geometry.word_bits + (WORD_BYTES - 1).bit_length()
        super().__init__({
            "read": In(read_signature(width, WORD_BYTES)),
            "write": In(write_signature(width, WORD_BYTES)),
            "i_host": In(stream.Signature(host_access_layout(geometry.word_bits))),
            "o_host": Out(stream.Signature(8 * WORD_BYTES)),
            "i_delay": In(range(MOST_DELAY + 1)), "bus": Out(sdram_bus(geometry)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = controller = self.controller
        connect(m, controller.bus, flipped(self.bus))
        m.d.comb += controller.i_delay.eq(self.i_delay)

        # The channels end in queues, so that no ready depends on a valid.
        reads, writes = (self._bursts(m, port, channel)
                         for port, channel in ((self.read, "ar"), (self.write, "aw")))
        m.submodules.words = words = BlockRamQueue(written_layout(WORD_BYTES), _LONGEST_BURST)
        m.d.comb += [
            words.i.valid.eq(self.write.wvalid), self.write.wready.eq(words.i.ready),
            Cat(words.i.p.data).eq(self.write.wdata), words.i.p.strobe.eq(self.write.wstrb),
        ]
        # A master may ask for a write whose words depend on what it reads: they are waited for.
        complete = Signal(range(_LONGEST_BURST + 1))   # bursts whose words are all there
        begins = Signal()
        m.d.sync += complete.eq(complete + (words.i.valid & words.i.ready & self.write.wlast)
                                - begins)

        asked, host = controller.i, self.i_host.p
        left = Signal(8)
        m.d.comb += asked.p.tag.eq(self.i_host.valid)
        with m.FSM():
            with m.State("choose"):
                m.d.comb += asked.valid.eq(1)
                with m.If(self.i_host.valid):
                    m.d.comb += [asked.p.word.eq(host.word), asked.p.write.eq(host.write),
                                 self.i_host.ready.eq(asked.ready & ~host.write)]
                    with m.If(asked.ready & host.write):
                        m.next = "host"
                with m.Elif(writes.o.valid & (complete != 0)):
                    m.d.comb += [Cat(asked.p.word, asked.p.more).eq(writes.o.p),
                                 asked.p.write.eq(1), writes.o.ready.eq(asked.ready),
                                 begins.eq(asked.ready)]
                    m.d.sync += left.eq(asked.p.more)
                    with m.If(asked.ready):
                        m.next = "words"
                with m.Else():
                    m.d.comb += [Cat(asked.p.word, asked.p.more).eq(reads.o.p),
                                 asked.valid.eq(reads.o.valid), reads.o.ready.eq(asked.ready)]
            with m.State("host"):
                m.d.comb += [controller.i_data.p.eq(host.written), controller.i_data.valid.eq(1),
                             self.i_host.ready.eq(controller.i_data.ready)]
                with m.If(controller.i_data.ready):
                    m.next = "choose"
            with m.State("words"):
                connect(m, words.o, controller.i_data)
                with m.If(words.o.valid & words.o.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 0):
                        m.d.sync += self.write.bvalid.eq(1)
                        m.next = "answer"
            with m.State("answer"), m.If(self.write.bready):
                m.d.sync += self.write.bvalid.eq(0)
                m.next = "choose"

        came, tagged = controller.o, controller.o.p.tag
        m.d.comb += [
            self.read.rvalid.eq(came.valid & ~tagged), self.o_host.valid.eq(came.valid & tagged),
            self.read.rdata.eq(came.p.data), self.o_host.p.eq(came.p.data),
            self.read.rlast.eq(came.p.last), self.read.rresp.eq(Response.OKAY),
            self.write.bresp.eq(Response.OKAY),
            came.ready.eq(Mux(tagged, self.o_host.ready, self.read.rready)),
        ]
        return m

    def _bursts(self, m: Module, port, channel: str) -> StreamQueue:
        """The bursts that are asked for: the number of the first word, and how many more."""
        def signal(name: str) -> Value:
            return getattr(port, channel + name)

        shift = (WORD_BYTES - 1).bit_length()
        address = signal("addr")[shift:]
        m.submodules[channel] = queue = StreamQueue(len(address) + 8, _MOST_BURSTS)
        m.d.comb += [
            queue.i.valid.eq(signal("valid")), signal("ready").eq(queue.i.ready),
            queue.i.p.eq(Cat(address, signal("len"))),
        ]
        return queue
