"""Requests for any number of words, cut into bursts."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from .axi import BURST_BYTES, request_layout

__all__ = ["BurstSplitter", "burst_layout"]


def burst_layout(address_width: int, word_bytes: int) -> data.StructLayout:
    """The number of a burst's first word, how many follow, and whether it ends its request."""
    word = request_layout(address_width, word_bytes, 1)["word"].shape
    return data.StructLayout({"word": word, "more": 8, "last": 1})


class BurstSplitter(Component):
    """Cut requests into bursts of at most ``max_burst`` words.

    All bursts but the first start at a multiple of ``max_burst`` words. As that is at most
    4 KiB, no burst crosses a 4 KiB boundary, and long requests consist of the longest bursts.
    One burst per cycle, and a cycle between requests. A burst can be taken two cycles after its
    request came.

    Parameters
    ----------
    address_width : int
        Bits of a byte address.
    word_bytes : int
        Bytes of a word.
    max_burst : int
        Most words of a burst: a power of two, 2 to 256, at most 4 KiB.
    count_width : int
        Bits of the number of words of a request, less one.

    Members
    -------
    i : ``In(stream.Signature(request_layout(address_width, word_bytes, count_width)))``
        Requests.
    o : ``Out(stream.Signature(burst_layout(address_width, word_bytes)))``
        Bursts.

    All outputs are registers.
    """

    def __init__(self, *, address_width: int, word_bytes: int, max_burst: int,
                 count_width: int) -> None:
        request = request_layout(address_width, word_bytes, count_width)
        if max_burst & (max_burst - 1) or not 2 <= max_burst <= 256:
            raise ValueError(f"max_burst must be a power of two from 2 to 256, not {max_burst!r}")
        if max_burst * word_bytes > BURST_BYTES:
            raise ValueError(f"A burst of {max_burst} words of {word_bytes} bytes is longer than "
                             f"{BURST_BYTES} bytes")
        self.max_burst = max_burst
        # What the proof names: what is left of a request behind ``o``, and whether something is.
        self.request, self.busy = Signal(request), Signal()
        super().__init__({
            "i": In(stream.Signature(request)),
            "o": Out(stream.Signature(burst_layout(address_width, word_bytes))),
        })

    def elaborate(self, platform):
        m = Module()

        request, busy = self.request, self.busy
        # Words that fit behind the first one: to the next multiple of max_burst.
        room = Signal(range(self.max_burst))
        burst = Signal.like(self.o.p)
        moves = Signal()
        m.d.comb += [
            self.i.ready.eq(~busy), moves.eq(busy & (~self.o.valid | self.o.ready)),
            room.eq(~request.word[:len(room)]),
            burst.word.eq(request.word), burst.last.eq(request.more <= room),
            burst.more.eq(Mux(burst.last, request.more, room)),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(moves):
            m.d.sync += [
                self.o.p.eq(burst), self.o.valid.eq(1), busy.eq(~burst.last),
                request.word.eq(request.word + room + 1),
                request.more.eq(request.more - room - 1),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [busy.eq(1), request.eq(self.i.p)]

        return m
