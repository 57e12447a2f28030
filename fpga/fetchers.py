"""Readers of the two lists that make up a program: descriptors and weight tiles."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from ..hw.memory.axi import COUNT_WIDTH, word_layout
from ..hw.streams.queue import queue_before
from ..hw.weights.scale_splitter import scaled_tile_layout
from ..hw.weights.tile_buffer import buffer_tile_layout
from .accelerator_parameters import AcceleratorParameters
from .descriptors import DESCRIPTOR_BYTES, TILE_BYTES, Operation
from .layouts import descriptor_layout, state_layout, weight_tile_layout
from .requests import word_requests

__all__ = ["BEATS_WIDTH", "REPEATS_WIDTH", "DescriptorFetcher", "ListFetcher", "TileFetcher"]

BEATS_WIDTH = 24     # of a weight tile
REPEATS_WIDTH = 16   # of the tokens that it is given out for


class ListFetcher(Component):
    """Reads a list in memory, from a word on.

    Parameters
    ----------
    parameters : AcceleratorParameters
        The sizes of the accelerator.
    extent : dict[str, wiring.Member]
        Inputs that say how much is to be read.
    outputs : dict[str, wiring.Member]
        What is made of the list.

    Members
    -------
    i_start : ``In(1)``, i_word : ``In(32)``
        Begin at this word.
    o_request : ``Out(stream.Signature(request_layout(...)))``, i_words : ``In(...)``
        They are connected to a reader of the memory port.
    """

    def __init__(self, parameters: AcceleratorParameters, extent: dict[str, wiring.Member],
                 outputs: dict[str, wiring.Member]) -> None:
        self.parameters = parameters
        super().__init__({
            "i_start": In(1), "i_word": In(32), **extent,
            "o_request": Out(word_requests(parameters)),
            "i_words": In(stream.Signature(word_layout(parameters.word_bytes))),
            **outputs,
        })


class DescriptorFetcher(ListFetcher):
    """Read descriptors from ``i_start`` on until END, two of them ahead of who takes them.

    Members
    -------
    i_start : ``In(1)``
        It may be high only at first, and after END has been taken.
    o : ``Out(stream.Signature(descriptor_layout()))``
        Descriptors, END included.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        super().__init__(parameters, {}, {"o": Out(stream.Signature(descriptor_layout()))})

    def elaborate(self, platform):
        m = Module()
        words = DESCRIPTOR_BYTES // self.parameters.word_bytes
        address = Signal(32)
        part = Signal(range(max(words, 2)))   # no signal is without bits: not every tool has those
        gathered = Signal(data.ArrayLayout(8 * self.parameters.word_bytes, words))
        whole = Signal(data.ArrayLayout(8 * self.parameters.word_bytes, words))
        queue = queue_before(m, "queue", self.o)
        descriptor = queue.i.p
        m.d.comb += [
            whole.eq(gathered), whole[part].eq(Cat(self.i_words.p.data)), descriptor.eq(whole),
            self.o_request.p.word.eq(address), self.o_request.p.more.eq(words - 1),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.i_start):
                m.d.sync += address.eq(self.i_word)
                m.next = "ask"
            with m.State("ask"):
                m.d.comb += self.o_request.valid.eq(queue.i.ready)
                with m.If(self.o_request.valid & self.o_request.ready):
                    m.d.sync += address.eq(address + words)
                    m.next = "take"
            with m.State("take"):
                m.d.comb += self.i_words.ready.eq(1)
                with m.If(self.i_words.valid):
                    m.d.sync += [gathered[part].eq(Cat(self.i_words.p.data)),
                                 part.eq(Mux(part == words - 1, 0, part + 1))]
                    with m.If(part == words - 1):
                        m.d.comb += queue.i.valid.eq(1)
                        m.next = "ask"
                        with m.If(descriptor.operation == Operation.END):
                            m.next = "idle"
        return m


class TileFetcher(ListFetcher):
    """Read the entries of weight tiles and ask for their words, as far ahead as there is room.

    Members
    -------
    i_start : ``In(1)``, i_count : ``In(COUNT_WIDTH)``
        Begin with so many entries. It may be high only when those before have been read.
    i_state : ``In(...)``
        Every tile is given out for each of the step's tokens.
    o_weights : ``Out(stream.Signature(request_layout(...)))``
        The words of tiles.
    o_tile : ``Out(stream.Signature(buffer_tile_layout(BEATS_WIDTH, REPEATS_WIDTH)))``
        What these words are. It is connected to the tile buffer.
    o_split : ``Out(stream.Signature(scaled_tile_layout(BEATS_WIDTH)))``, o_scales : ``Out(...)``
        With scales: where the words of a tile's scales end, and for the buffer of scales what
        ``o_tile`` is for weights.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        tile = Out(stream.Signature(buffer_tile_layout(BEATS_WIDTH, REPEATS_WIDTH)))
        split = Out(stream.Signature(scaled_tile_layout(BEATS_WIDTH)))
        self._scaled = parameters.scale_beats > 0
        super().__init__(
            parameters, {"i_count": In(COUNT_WIDTH), "i_state": In(state_layout(parameters))},
            {"o_weights": Out(word_requests(parameters)), "o_tile": tile,
             **({"o_split": split, "o_scales": tile} if self._scaled else {})})

    def elaborate(self, platform):
        m = Module()
        per_word = max(1, self.parameters.word_bytes // TILE_BYTES)
        words = max(1, TILE_BYTES // self.parameters.word_bytes)   # of an entry
        address, left = Signal(32), Signal(COUNT_WIDTH)
        more = Signal(COUNT_WIDTH)   # words of the list, less one
        more_words = (self.i_count * words - 1 if words > 1 else
                      (self.i_count - 1) >> (per_word - 1).bit_length())
        place = Signal(range(max(per_word, 2)))
        entry = Signal(weight_tile_layout())
        there, first_words = self._gather(m, words)
        done = Signal()
        # Who is told of an entry: each takes it when he can.
        told: dict[str, tuple[stream.Interface, Value]] = {
            "weights": (self.o_weights, Const(1)), "tile": (self.o_tile, Const(1))}
        if self._scaled:
            scaled = entry.scales != 0
            told |= {"split": (self.o_split, Const(1)), "scales": (self.o_scales, scaled)}
            m.d.comb += [
                self.o_split.p.scaled.eq(scaled), self.o_split.p.beats.eq(entry.scales),
                self.o_scales.p.beats.eq(entry.scales),
                self.o_scales.p.repeats.eq(self.i_state.tokens),
            ]
        taken = {name: Signal(name=f"{name}_taken") for name in told}
        m.d.comb += [
            entry.eq(Cat(first_words, self.i_words.p.data).word_select(place, 8 * TILE_BYTES)),
            self.o_request.p.word.eq(address),
            self.o_request.p.more.eq(more),
            self.o_weights.p.word.eq(entry.word), self.o_weights.p.more.eq(entry.words - 1),
            self.o_tile.p.beats.eq(entry.beats), self.o_tile.p.repeats.eq(self.i_state.tokens),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.i_start & (self.i_count != 0)):
                m.d.sync += [address.eq(self.i_word), left.eq(self.i_count), place.eq(0),
                             more.eq(more_words)]
                m.next = "ask"
            with m.State("ask"):
                m.d.comb += self.o_request.valid.eq(1)
                with m.If(self.o_request.ready):
                    m.next = "entries"
            with m.State("entries"):
                all_told = Cat(taken[name] | port.ready | ~wanted
                               for name, (port, wanted) in told.items()).all()
                m.d.comb += [
                    done.eq(there & all_told),
                    self.i_words.ready.eq(
                        ~there | (done & ((place == per_word - 1) | (left == 1)))),
                ]
                for name, (port, wanted) in told.items():
                    m.d.comb += port.valid.eq(there & ~taken[name] & wanted)
                    m.d.sync += taken[name].eq(
                        (taken[name] | (port.valid & port.ready)) & ~done)
                with m.If(done):
                    m.d.sync += [left.eq(left - 1),
                                 place.eq(Mux(place == per_word - 1, 0, place + 1))]
                    with m.If(left == 1):
                        m.next = "idle"
        return m

    def _gather(self, m: Module, words: int) -> tuple[Value, Value]:
        """Whether a whole entry is there, and what came of it before the word that is offered."""
        if words == 1:
            return self.i_words.valid, Const(0, 0)
        part = Signal(range(words))
        gathered = Signal(8 * (TILE_BYTES - self.parameters.word_bytes), reset_less=True)
        width = 8 * self.parameters.word_bytes
        with m.If(self.i_words.valid & self.i_words.ready):
            m.d.sync += [part.eq(part + 1),
                         gathered.eq(Cat(gathered, self.i_words.p.data)[width:])]
        return self.i_words.valid & (part == words - 1), gathered
