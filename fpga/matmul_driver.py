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
        It is connected to the dequantizer.
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
        super().__init__(p, {
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
                  for name in ("job", "read", "scaling", "b", "heads", "row", "head")}

        # Where the walk is, and the addresses there.
        tiles_left, tokens_left = Signal(16), Signal.like(state.tokens)
        position = Signal.like(state.position)
        tile_out, out = Signal(32), Signal(32)             # of the tile's rows, of the token's
        tile_beside, beside = Signal(32), Signal(32)
        tile_cache, head_at = Signal(32), Signal(32)       # of the tile's first head, of the next
        cache_offset = Signal(32)                          # of the token's tile of the cache
        gated, adds, turned, cached = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            gated.eq(d.post == Post.GATE), adds.eq(d.post == Post.ADD),
            turned.eq((d.post == Post.ROTATE) | (d.post == Post.KEYS)),
            cached.eq((d.post == Post.KEYS) | (d.post == Post.VALUES)),
        ]
        # Registers that are right before ``i_active``, as the descriptor and the state are.
        cache_tile = (TILE - 1).bit_length()
        first_beside, first_offset, tile_heads = Signal(32), Signal(32), Signal(32)
        m.d.sync += [
            first_beside.eq(state.position * d.b_stride),
            first_offset.eq((state.position >> cache_tile) * d.tile_words),
            tile_heads.eq(d.heads * d.region),
        ]
        # Of this tile.
        last_tile, blocks = Signal(), Signal(16)
        heads = Signal(range(p.max_heads + 1))
        beats = Signal(24)
        self._fill(m, queues, blocks, out, beside, position, head_at, gated, turned)
        block_beats = p.tlmm.columns // p.lanes
        m.d.comb += [
            beats.eq(blocks * block_beats >> gated),
            queues["read"].p.eq(state.tokens - tokens_left), queues["heads"].p.eq(heads),
        ]
        step, heads_left = Signal(), Signal.like(heads)
        room = Cat(queue.ready for name, queue in queues.items() if name != "head").all()
        m.d.comb += [queues[name].valid.eq(step) for name in ("job", "read", "scaling")]
        m.d.comb += [
            queues["heads"].valid.eq(step & turned), queues["b"].valid.eq(step & (turned | adds)),
            queues["row"].valid.eq(step & ~cached),
            self.o_issued.eq(queues["row"].valid + (queues["head"].valid << 1)),
        ]

        with m.FSM():
            with m.State("idle"), m.If(self.i_active):
                m.d.sync += [
                    tiles_left.eq(d.tiles), last_tile.eq(d.tiles == 1),
                    tile_out.eq(d.d), tile_beside.eq(d.b), tile_cache.eq(d.c)]
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
                    with m.If(cached):
                        m.next = "heads"
            with m.State("heads"):
                m.d.comb += queues["head"].valid.eq(queues["head"].ready)
                with m.If(queues["head"].ready):
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
                    ]
                    m.next = "tile"
                    with m.If(last_tile):
                        m.next = "walked"
            self._end(m)
        return m

    def _fill(self, m: Module, queues, blocks, out, beside, position, head_at, gated,
              turned) -> None:
        """What each stream is given in this step."""
        p, d = self.parameters, self.i_descriptor
        job, scaling, row, beside_row, head = (
            queues[name].p for name in ("job", "scaling", "row", "b", "head"))
        block_beats = p.tlmm.columns // p.lanes
        m.d.comb += [
            job.passes.eq(d.passes), job.blocks.eq(blocks),
            scaling.scale_even.eq(d.x), scaling.scale_odd.eq(Mux(gated, d.y, d.x)),
            scaling.row_blocks.eq(d.row_blocks),
            row.word.eq(out), row.beats.eq(blocks * block_beats >> gated),
            beside_row.word.eq(beside),
            beside_row.beats.eq(Mux(turned, d.row_blocks, blocks) * block_beats),
            head.word.eq(head_at), head.token.eq(position), head.chunks.eq(d.chunks),
            head.values.eq(d.post == Post.VALUES),
        ]
