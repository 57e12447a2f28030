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

        # The tile whose keys come next. How many of its rows are read, and whether it is the last
        # one, is found with the step to it.
        active, starts = Signal(), Signal()
        current = Signal(self.i.p.shape())
        tile = Signal(context_tile_layout(p))
        left, next_left = (Signal(range(p.max_context + 1), name=name)   # tokens from the tile on
                           for name in ("left", "next_left"))            # that the last query sees
        rows = Signal(range(p.rows + 1))
        codes = Signal(range(p.rows * p.max_chunks + 1))
        m.d.comb += [
            starts.eq(self.i.valid & ~active),
            next_left.eq(Mux(active, left - TILE, self.i.p.last_position + 1)),
            codes.eq(rows * current.chunks),
        ]

        # The tiles whose keys were asked for, and their values not yet.
        waiting = data.StructLayout({
            "word": current.word.shape(), "rows": range(p.rows + 1), "codes": codes.shape(),
            "tile": context_tile_layout(p)})
        m.submodules.waiting = waits = StreamQueue(waiting, TILES_AHEAD + 1)
        older, asked = waits.o.p, waits.i.p
        full = Signal()
        ask_keys, ask_values = Signal(), Signal()
        free = requests.i.ready & blocks.i.ready
        m.d.comb += [
            full.eq(~waits.i.ready),
            ask_keys.eq(free & active & ~full),
            ask_values.eq(free & waits.o.valid & (full | ~active)),
            waits.i.valid.eq(ask_keys), waits.o.ready.eq(ask_values),
            asked.word.eq(current.word + (2 * p.scale_words + p.rows * current.chunks)),
            asked.rows.eq(rows), asked.codes.eq(codes), asked.tile.eq(tile),
        ]

        request, block = requests.i.p, blocks.i.p
        m.d.comb += [
            request.word.eq(Mux(ask_keys, current.word, older.word)),
            request.more.eq(Mux(ask_keys, codes + (2 * p.scale_words - 1), older.codes - 1)),
            block.values.eq(~ask_keys),
            block.rows.eq(Mux(ask_keys, rows, older.rows)),
            block.tile.eq(Mux(ask_keys, tile, older.tile)),
            requests.i.valid.eq(ask_keys | ask_values), blocks.i.valid.eq(ask_keys | ask_values),
        ]

        last = next_left <= TILE
        with m.If(ask_keys | starts):
            m.d.sync += [
                left.eq(next_left), tile.last.eq(last),
                rows.eq(Mux(last, (next_left + p.word_tokens - 1) // p.word_tokens, p.rows)),
            ]
        with m.If(ask_keys):
            m.d.sync += [
                current.word.eq(current.word + (2 * p.scale_words + 2 * p.rows * current.chunks)),
                tile.remaining.eq(tile.remaining - TILE),
                tile.first.eq(0), tile.bank.eq(tile.bank + 1),
            ]
            with m.If(tile.last):
                m.d.sync += [active.eq(0), tile.pass_bank.eq(~tile.pass_bank)]

        m.d.comb += self.i.ready.eq(~active)
        with m.If(starts):
            m.d.sync += [
                active.eq(1), current.eq(self.i.p), tile.first.eq(1),
                tile.remaining.eq(self.i.p.position + 1),
                Cat(tile.queries, tile.group, tile.chunks).eq(
                    Cat(self.i.p.queries, self.i.p.group, self.i.p.chunks)),
            ]
        return m
