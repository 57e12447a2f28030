"""The driver of MATMUL, which walks through weight tiles and tokens."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Out

from ..hw.attention.attention_parameters import TILE
from ..hw.attention.cache_writer import head_layout
from ..hw.matmul.dequantizer import scaling_layout
from ..hw.matmul.job_sequencer import matmul_job_layout
from ..hw.streams.queue import queue_before
from .accelerator_parameters import AcceleratorParameters
from .descriptors import Post
from .driver import Driver
from .requests import row_requests

__all__ = ["MatmulDriver"]


class MatmulDriver(Driver):
    """Give each stage what it needs for each tile and token: tiles outside, tokens inside.

    Members
    -------
    o_job : ``Out(stream.Signature(matmul_job_layout(tlmm)))``
        It is connected to the engine.
    o_read : ``Out(stream.Signature(range(max_tokens)))``
        It is connected to the activation buffer.
    o_scaling : ``Out(stream.Signature(scaling_layout(tlmm)))``
        It is connected to the dequantizer. There is none for weights with scales of groups.
    o_a : ``Out(stream.Signature(row_request_layout(...)))``
        Biases of a tile, or the weights of each head's norm. It is there if the accelerator has
        one of both.
    o_b : ``Out(stream.Signature(row_request_layout(...)))``
        Rows beside: of the residual, or of angles.
    o_heads : ``Out(stream.Signature(range(max_heads + 1)))``
        The number of a token's heads that come to the rotary embedding.
    o_row : ``Out(stream.Signature(row_request_layout(...)))``
        Where rows of outputs go.
    o_head : ``Out(stream.Signature(head_layout(...)))``
        Where heads of keys or values go.
    o_issued : ``Out(2)``
        So many write requests will be made of what was given in this cycle.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        p, row = parameters, row_requests(parameters)
        self._reads_a = p.biases or p.head_norms
        super().__init__(p, {
            **({"o_a": Out(row)} if self._reads_a else {}),
            "o_job": Out(stream.Signature(matmul_job_layout(p.tlmm))),
            "o_read": Out(stream.Signature(range(p.max_tokens))),
            "o_scaling": Out(stream.Signature(scaling_layout(p.tlmm))),
            "o_b": Out(row),
            "o_heads": Out(stream.Signature(range(p.max_heads + 1))),
            "o_row": Out(row),
            "o_head": Out(stream.Signature(head_layout(p.attention, p.address_width))),
        }, issued_width=2)

    def elaborate(self, platform):
        m = Module()
        p, d, state = self.parameters, self.i_descriptor, self.i_state
        queues = {name: queue_before(m, name, getattr(self, f"o_{name}")).i
                  for name in ("job", "read", "scaling", "b", "heads", "row", "head",
                               *(["a"] if self._reads_a else []))}

        # Where the walk is, and the addresses there.
        tiles_left, tokens_left = Signal(16), Signal.like(state.tokens)
        position = Signal.like(state.position)
        tile_out, out = Signal(32), Signal(32)             # of the tile's rows, of the token's
        tile_beside, beside = Signal(32), Signal(32)
        tile_cache, head_at = Signal(32), Signal(32)       # of the tile's first head, of the next
        cache_offset = Signal(32)                          # of the token's tile of the cache
        tile_bias = Signal(32)
        gated, adds, turned, cached = Signal(), Signal(), Signal(), Signal()
        normed, biased, grouped = Signal(), Signal(), Signal()
        m.d.comb += [
            gated.eq(d.post == Post.GATE), adds.eq(d.post == Post.ADD),
            turned.eq((d.post == Post.ROTATE) | (d.post == Post.KEYS)),
            cached.eq((d.post == Post.KEYS) | (d.post == Post.VALUES)),
        ]
        if p.head_norms:
            m.d.comb += normed.eq(turned & d.norm)
        if p.biases:
            m.d.comb += biased.eq(d.bias)
        if p.scale_beats:
            m.d.comb += grouped.eq(d.rows != 0)
        # Registers that are right before ``i_active``, as the descriptor and the state are.
        cache_tile = (TILE - 1).bit_length()
        first_beside, first_offset, tile_heads = Signal(32), Signal(32), Signal(32)
        m.d.sync += [
            first_beside.eq(state.position * d.b_stride),
            first_offset.eq((state.position >> cache_tile) * d.tile_words),
            tile_heads.eq(d.heads * d.region),
        ]
        # Of this tile. The engine's blocks are those of each digit of the weights.
        last_tile, blocks = Signal(), Signal(16)
        job_blocks = self._job_blocks(m, last_tile) if p.scale_beats else blocks
        heads = Signal(range(p.max_heads + 1))
        beats = Signal(24)
        self._fill(m, queues, blocks, out, beside, position, head_at, gated, turned)
        m.d.comb += [queues["job"].p.blocks.eq(job_blocks),
                     queues["job"].p.passes.eq(Mux(grouped, d.beats, d.passes))]
        if self._reads_a:
            m.d.comb += [
                queues["a"].p.word.eq(Mux(normed, d.a, tile_bias)),
                queues["a"].p.beats.eq(
                    Mux(normed, d.row_blocks, blocks) * (p.tlmm.columns // p.lanes)),
            ]
        block_beats = p.tlmm.columns // p.lanes
        m.d.comb += [
            beats.eq(blocks * block_beats >> gated),
            queues["read"].p.eq(state.tokens - tokens_left), queues["heads"].p.eq(heads),
        ]
        step, head_goes, heads_left = Signal(), Signal(), Signal.like(heads)
        room = Cat(queue.ready for name, queue in queues.items() if name != "head").all()
        m.d.comb += [queues[name].valid.eq(step) for name in ("job", "read")]
        m.d.comb += queues["scaling"].valid.eq(step & ~grouped)
        m.d.comb += [
            queues["heads"].valid.eq(step & turned), queues["b"].valid.eq(step & (turned | adds)),
            queues["row"].valid.eq(step & ~cached),
            self.o_issued.eq(queues["row"].valid + (queues["head"].valid << 1)),
        ]
        if self._reads_a:
            m.d.comb += queues["a"].valid.eq((step & biased) | (head_goes & normed))

        with m.FSM():
            with m.State("idle"), m.If(self.i_active):
                m.d.sync += [
                    tiles_left.eq(d.tiles), last_tile.eq(d.tiles == 1),
                    tile_out.eq(d.d), tile_beside.eq(d.b), tile_cache.eq(d.c), tile_bias.eq(d.a)]
                m.next = "tile"
            with m.State("tile"):
                m.d.sync += [
                    tokens_left.eq(state.tokens), position.eq(state.position), out.eq(tile_out),
                    beside.eq(tile_beside + Mux(turned, first_beside, 0)),
                    cache_offset.eq(first_offset),
                    blocks.eq(Mux(last_tile, d.last_blocks, d.blocks)),
                    heads.eq(Mux(last_tile, d.group, d.heads)),
                ]
                m.next = "token"
            with m.State("token"):
                m.d.comb += step.eq(room)
                m.d.sync += [heads_left.eq(heads), head_at.eq(tile_cache + cache_offset)]
                with m.If(step):
                    m.next = "next"
                    with m.If(cached | normed):
                        m.next = "heads"
            with m.State("heads"):
                room_of_head = queues["head"].ready
                if p.head_norms:
                    room_of_head = (room_of_head | ~cached) & (queues["a"].ready | ~normed)
                m.d.comb += [head_goes.eq(room_of_head),
                             queues["head"].valid.eq(head_goes & cached)]
                with m.If(head_goes):
                    m.d.sync += [head_at.eq(head_at + d.region), heads_left.eq(heads_left - 1)]
                    with m.If(heads_left == 1):
                        m.next = "next"
            with m.State("next"):
                m.d.sync += [tokens_left.eq(tokens_left - 1), position.eq(position + 1),
                             out.eq(out + d.d_stride), beside.eq(beside + d.b_stride)]
                with m.If(position[:cache_tile].all()):
                    m.d.sync += cache_offset.eq(cache_offset + d.tile_words)
                m.next = "token"
                with m.If(tokens_left == 1):
                    m.d.sync += [
                        tiles_left.eq(tiles_left - 1), last_tile.eq(tiles_left == 2),
                        tile_out.eq(tile_out + beats // p.word_beats),
                        tile_beside.eq(tile_beside + Mux(adds, beats // p.word_beats, 0)),
                        tile_cache.eq(tile_cache + tile_heads),
                        tile_bias.eq(tile_bias + blocks * block_beats // p.word_beats),
                    ]
                    m.next = "tile"
                    with m.If(last_tile):
                        m.next = "walked"
            self._end(m)
        return m

    def _job_blocks(self, m: Module, last_tile: Signal) -> Signal:
        """Blocks that the engine does of this tile: of each digit one."""
        d = self.i_descriptor
        digits = Mux(d.digits == 0, 1, d.digits)
        whole, last, blocks = Signal(16), Signal(16), Signal(16)
        m.d.sync += [whole.eq(d.blocks * digits), last.eq(d.last_blocks * digits)]
        m.d.comb += blocks.eq(Mux(last_tile, last, whole))
        return blocks

    def _fill(self, m: Module, queues, blocks, out, beside, position, head_at, gated,
              turned) -> None:
        """What each stream is given in this step."""
        p, d = self.parameters, self.i_descriptor
        scaling, row, beside_row, head = (
            queues[name].p for name in ("scaling", "row", "b", "head"))
        block_beats = p.tlmm.columns // p.lanes
        m.d.comb += [
            scaling.scale_even.eq(d.x), scaling.scale_odd.eq(Mux(gated, d.y, d.x)),
            scaling.row_blocks.eq(d.row_blocks),
            row.word.eq(out), row.beats.eq(blocks * block_beats >> gated),
            beside_row.word.eq(beside),
            beside_row.beats.eq(Mux(turned, d.row_blocks, blocks) * block_beats),
            head.word.eq(head_at), head.token.eq(position), head.chunks.eq(d.chunks),
            head.values.eq(d.post == Post.VALUES),
        ]
