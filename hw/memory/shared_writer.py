"""One write master for several writers."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..streams.queue import queue_before
from .axi import COUNT_WIDTH, request_layout
from .write_master import written_layout

__all__ = ["SharedWriter"]


class SharedWriter(Component):
    """Pass on the requests and words of several writers, one request after the other.

    Of the writers that offer a request, the first one in order is served, with all its words,
    before the next choice. One word per cycle; a choice takes one cycle.

    Parameters
    ----------
    writers : int
        Number of writers.
    address_width, word_bytes, count_width : int
        The same as the parameters of ``WriteMaster``.

    Members
    -------
    i_request : ``In(stream.Signature(request_layout(...))).array(writers)``
    i : ``In(stream.Signature(written_layout(word_bytes))).array(writers)``
    o_request, o : ``Out(...)``
        They are connected to a ``WriteMaster``.
    """

    def __init__(self, *, writers: int, address_width: int, word_bytes: int,
                 count_width: int = COUNT_WIDTH) -> None:
        self.writers = writers
        request = stream.Signature(request_layout(address_width, word_bytes, count_width))
        word = stream.Signature(written_layout(word_bytes))
        super().__init__({
            "i_request": In(request).array(writers), "i": In(word).array(writers),
            "o_request": Out(request), "o": Out(word),
        })

    def elaborate(self, platform):
        m = Module()
        requests = queue_before(m, "requests", self.o_request)

        # Choose, then count the words through.
        serves = Signal()
        chosen = Signal(range(self.writers))
        left = Signal(self.o_request.p.more.shape())
        for number in reversed(range(self.writers)):
            offer = self.i_request[number]
            with m.If(offer.valid & ~serves & requests.i.ready):
                m.d.sync += [chosen.eq(number), serves.eq(1), left.eq(offer.p.more)]
        taken = Signal()
        before = Const(0)
        for number in range(self.writers):
            offer, word = self.i_request[number], self.i[number]
            takes = offer.valid & ~serves & requests.i.ready & ~before
            m.d.comb += [
                offer.ready.eq(~serves & requests.i.ready & ~before),
                word.ready.eq(self.o.ready & serves & (chosen == number)),
            ]
            with m.If(takes):
                m.d.comb += [requests.i.valid.eq(1), requests.i.p.eq(offer.p)]
            before = before | offer.valid
        words = Array(word.p.as_value() for word in self.i)
        valids = Array(word.valid for word in self.i)
        m.d.comb += [
            self.o.p.eq(words[chosen]),
            self.o.valid.eq(serves & valids[chosen]),
            taken.eq(self.o.valid & self.o.ready),
        ]
        with m.If(taken):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += serves.eq(0)
        return m
