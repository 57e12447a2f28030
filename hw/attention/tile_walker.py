"""The tiles that passes over the cache read, in an order that hides the softmax."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..memory.axi import COUNT_WIDTH, request_layout
from ..streams.queue import StreamQueue, queue_before
from .attention_parameters import BANKS, TILE, TILES_AHEAD, AttentionParameters

__all__ = ["TileWalker", "block_layout", "context_tile_layout", "pass_layout"]


def pass_layout(parameters: AttentionParameters, address_width: int) -> data.StructLayout:
    """A pass: up to Q queries that read one KV head together.

    ``word`` is where the head's tiles begin; the queries' positions begin with ``position``, rise
    by one every ``group`` queries and end with ``last_position``; ``chunks`` is head_dim / chunk
    and ``inverse_root`` float32(1 / sqrt(head_dim)).
    """
    word = request_layout(address_width, parameters.word_bytes, COUNT_WIDTH)["word"].shape
    return data.StructLayout({
        "word": word,
        "position": range(parameters.max_context),
        "last_position": range(parameters.max_context),
        "queries": range(parameters.queries + 1),
        "group": range(parameters.queries + 1),
        "chunks": range(parameters.max_chunks + 1),
        "inverse_root": FLOAT32.layout,
    })


def context_tile_layout(parameters: AttentionParameters) -> data.StructLayout:
    """A tile of a pass.

    Query i sees ``remaining + i // group`` of its tokens: all ``TILE`` at the most, none if that is
    not above zero. ``bank`` and ``pass_bank`` say where in the buffers its data, and its
    queries, are; ``first`` is a pass's first tile.
    """
    return data.StructLayout({
        "remaining": signed((parameters.max_context + TILE).bit_length() + 1),
        "queries": range(parameters.queries + 1),
        "group": range(parameters.queries + 1),
        "chunks": range(parameters.max_chunks + 1),
        "bank": range(BANKS), "pass_bank": 1, "first": 1, "last": 1,
    })


def block_layout(parameters: AttentionParameters) -> data.StructLayout:
    """Words that will come: a tile's scales and keys, or its ``values``; ``rows`` of codes."""
    return data.StructLayout({
        "values": 1, "rows": range(parameters.rows + 1), "tile": context_tile_layout(parameters),
    })


class TileWalker(Component):
    """Ask for the tiles of passes: keys of the next tile, then values of the oldest that waits.

    ``TILES_AHEAD`` other tiles' keys come between a tile's keys and its values: while its scores
    become weights, other words come in, across passes too. Tokens that no query of the pass sees
    are not asked for, but to the end of a row.

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.
    address_width : int
        Bits of a byte address.

    Members
    -------
    i : ``In(stream.Signature(pass_layout(...)))``
        Passes.
    o_request : ``Out(stream.Signature(request_layout(...)))``
        What is to be read.
    o : ``Out(stream.Signature(block_layout(parameters)))``
        What that is, in the same order.
    """

    def __init__(self, parameters: AttentionParameters, address_width: int) -> None:
        self.parameters = parameters
        request = request_layout(address_width, parameters.word_bytes, COUNT_WIDTH)
        super().__init__({
            "i": In(stream.Signature(pass_layout(parameters, address_width))),
            "o_request": Out(stream.Signature(request)),
            "o": Out(stream.Signature(block_layout(parameters))),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        requests = queue_before(m, "requests", self.o_request, depth=4)
        blocks = queue_before(m, "blocks", self.o, depth=4)

        # The tile whose keys come next.
        active = Signal()
        current = Signal(self.i.p.shape())
        state = Signal(context_tile_layout(p))   # of the tile, but for ``last``
        tile = Signal(context_tile_layout(p))
        left = Signal(range(p.max_context + 1))   # tokens from here on that the last query sees
        rows = Signal(range(p.rows + 1))
        m.d.comb += [
            tile.eq(state),
            tile.last.eq(left <= TILE),
            rows.eq(Mux(tile.last, (left + p.word_tokens - 1) // p.word_tokens, p.rows)),
        ]

        # The tiles whose keys were asked for, and their values not yet.
        waiting = data.StructLayout({
            "word": current.word.shape(), "rows": range(p.rows + 1),
            "tile": context_tile_layout(p)})
        m.submodules.waiting = waits = StreamQueue(waiting, TILES_AHEAD + 1)
        older = waits.o.p
        full = Signal()
        ask_keys, ask_values = Signal(), Signal()
        free = requests.i.ready & blocks.i.ready
        m.d.comb += [
            full.eq(~waits.i.ready),
            ask_keys.eq(free & active & ~full),
            ask_values.eq(free & waits.o.valid & (full | ~active)),
            waits.i.valid.eq(ask_keys), waits.o.ready.eq(ask_values),
        ]

        request, block = requests.i.p, blocks.i.p
        code_words = Mux(ask_keys, rows, older.rows) * block.tile.chunks
        m.d.comb += [
            request.word.eq(Mux(ask_keys, current.word, older.word)),
            request.more.eq(code_words + Mux(ask_keys, 2 * p.scale_words - 1, -1)),
            block.values.eq(~ask_keys),
            block.rows.eq(Mux(ask_keys, rows, older.rows)),
            block.tile.eq(Mux(ask_keys, tile, older.tile)),
            requests.i.valid.eq(ask_keys | ask_values), blocks.i.valid.eq(ask_keys | ask_values),
        ]

        whole_tile = 2 * p.scale_words + 2 * p.rows * current.chunks
        with m.If(ask_keys):
            asked = waits.i.p
            m.d.comb += [
                asked.word.eq(current.word + 2 * p.scale_words + p.rows * current.chunks),
                asked.rows.eq(rows), asked.tile.eq(tile),
            ]
            m.d.sync += [
                current.word.eq(current.word + whole_tile),
                state.remaining.eq(state.remaining - TILE), left.eq(left - TILE),
                state.first.eq(0), state.bank.eq(state.bank + 1),
            ]
            with m.If(tile.last):
                m.d.sync += [active.eq(0), state.pass_bank.eq(~state.pass_bank)]

        m.d.comb += self.i.ready.eq(~active)
        with m.If(self.i.valid & ~active):
            m.d.sync += [
                active.eq(1), current.eq(self.i.p), state.first.eq(1),
                state.remaining.eq(self.i.p.position + 1), left.eq(self.i.p.last_position + 1),
                Cat(state.queries, state.group, state.chunks).eq(
                    Cat(self.i.p.queries, self.i.p.group, self.i.p.chunks)),
            ]
        return m
