"""Attention over an int8 cache in external memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from ..component import Component
from ..floats.format import FLOAT32
from ..memory.axi import COUNT_WIDTH, request_layout, word_layout
from ..rows.elementwise import lanes_layout
from ..rows.row_fork import row_layout
from ..streams.fork import StreamFork, give_to_each
from .attention_parameters import TILES_UNDER_WAY, AttentionParameters
from .exponentials import Exponentials
from .outputs import Outputs
from .query_lane import QueryLane
from .query_loader import QueryLoader
from .scores import Scores, scored_tile_layout
from .softmax_sums import SoftmaxSums
from .softmax_weights import SoftmaxWeights
from .tile_walker import TileWalker, pass_layout
from .words import Scales, Words

__all__ = ["Attention"]


class Attention(Component):
    """``attend_int8`` of ``runtime.kernels.attention.portable`` without a window, bit for bit.

    It serves decode and prefill.

    A pass is up to Q queries that read the same KV head: the heads of a group of one token (decode
    with grouped queries), consecutive tokens of one head (prefill), or both. Their keys and
    values are read from memory once, in tiles of 32 tokens, keys ``TILES_AHEAD``
    tiles before values; tokens past the last query's position are neither read nor computed with,
    and a query's own share of a tile ends with its position. The softmax is fused into this one
    reading: scores, running maximum, exponentials, running sum, int16 weights, outputs.

    Positions of a pass's queries must not fall, and rise by one every ``group`` queries.

    Streams
    -------
    All may stall at any time; passes, queries and their scales come in the same order.

    - ``i_pass``, one beat per pass: see ``pass_layout``.
    - ``i_codes``, ``i_scale``: for each query of each pass, a row of int8 codes and a float32
      scale, as ``Quantizer`` gives them. Two passes' queries can wait inside.
    - ``o_request`` asks for words of memory, ``i_words`` must bring them, in this order.
    - ``o``: a row of head_dim float32 elements for each query, in the order of the queries.

    Throughput
    ----------
    A tile takes its words, 2 * (128 + 32 * head_dim) / word_bytes cycles, or, if that is more,
    35 cycles for each query that sees something of it, or head_dim / lanes + 13 for each.
    About 190 cycles pass from a tile's last key to its first value; other tiles' words come in the
    meantime.

    Sources
    -------
    Online softmax: Milakov and Gimelshein 2018 (arXiv 1805.02867); tiles read once for several
    queries: FlashAttention (arXiv 2205.14135). TeLLMe v2 (arXiv 2510.15926) also skips what lies
    above the diagonal, by reversing the tokens; here a pass just ends where its last query does.

    Parameters
    ----------
    parameters : AttentionParameters
        Shape of the unit.
    address_width : int
        Bits of a byte address.

    Members
    -------
    i_pass : ``In(stream.Signature(pass_layout(parameters, address_width)))``
    i_codes : ``In(stream.Signature(row_layout(ArrayLayout(signed(8), lanes))))``
    i_scale : ``In(stream.Signature(FLOAT32.layout))``
    o_request : ``Out(stream.Signature(request_layout(address_width, word_bytes, COUNT_WIDTH)))``
    i_words : ``In(stream.Signature(word_layout(word_bytes)))``
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
    """

    def __init__(self, parameters: AttentionParameters, address_width: int) -> None:
        p = self.parameters = parameters
        self.address_width = address_width
        request = request_layout(address_width, p.word_bytes, COUNT_WIDTH)
        super().__init__({
            "i_pass": In(stream.Signature(pass_layout(p, address_width))),
            "i_codes": In(stream.Signature(row_layout(data.ArrayLayout(signed(8), p.lanes)))),
            "i_scale": In(stream.Signature(FLOAT32.layout)),
            "o_request": Out(stream.Signature(request)),
            "i_words": In(stream.Signature(word_layout(p.word_bytes))),
            "o": Out(stream.Signature(row_layout(lanes_layout(p.lanes)))),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.parameters

        # Passes go to the queries' loader and to the walker over the tiles.
        m.submodules.passes = passes = StreamFork(self.i_pass.p.shape(), readers=2, depth=2)
        m.submodules.loader = loader = QueryLoader(p)
        m.submodules.walker = walker = TileWalker(p, self.address_width)
        connect(m, flipped(self.i_pass), passes.i)
        connect(m, passes.o[0], walker.i)
        load = passes.o[1]
        m.d.comb += [
            loader.i.p.queries.eq(load.p.queries), loader.i.p.inverse_root.eq(load.p.inverse_root),
            loader.i.valid.eq(load.valid), load.ready.eq(loader.i.ready),
        ]
        connect(m, flipped(self.i_codes), loader.i_codes)
        connect(m, flipped(self.i_scale), loader.i_scale)
        connect(m, walker.o_request, flipped(self.o_request))

        # Words go to the query lanes and to the scales.
        lanes = [QueryLane(p) for _ in range(p.queries)]
        m.submodules.words = words = Words(p, lanes[0].dot_latency, lanes[0].sum_latency)
        m.submodules.keys_scales = keys_scales = Scales(p)
        m.submodules.values_scales = values_scales = Scales(p)
        connect(m, walker.o, words.i_block)
        connect(m, flipped(self.i_words), words.i)
        m.d.comb += [
            words.i_loaded.eq(loader.o_loaded),
            keys_scales.i.eq(words.o_keys_scale), values_scales.i.eq(words.o_values_scale),
        ]

        # Scores, exponentials, sums and weights, outputs.
        m.submodules.scores = scores = Scores(p)
        m.submodules.exponentials = exponentials = Exponentials()
        m.submodules.jobs = jobs = StreamFork(scored_tile_layout(p), readers=4,
                                                   depth=TILES_UNDER_WAY * p.queries + 1)
        m.submodules.sums = sums = SoftmaxSums(p)
        m.submodules.weights = weights = SoftmaxWeights(p)
        m.submodules.outputs = outputs = Outputs(p)
        connect(m, words.o, scores.i)
        connect(m, scores.o_job, jobs.i)
        connect(m, scores.o_maximum, exponentials.i_maximum)
        connect(m, scores.o, exponentials.i)
        connect(m, exponentials.o_shrink, sums.i_shrink)
        give_to_each(m, exponentials.o, (sums.i, weights.i))
        for reader, port in enumerate(
                (sums.i_job, weights.i_job, weights.i_written, outputs.i_job)):
            connect(m, jobs.o[reader], port)
        connect(m, sums.o, outputs.i_factors)
        connect(m, weights.o_step, outputs.i_step)
        connect(m, outputs.o, flipped(self.o))
        m.d.comb += [
            loader.i_release.eq(scores.o_released),
            scores.i_scales.eq(loader.o_scales),
            keys_scales.i_place.eq(scores.o_place), scores.i_scale.eq(keys_scales.o),
            values_scales.i_place.eq(weights.o_place), weights.i_scale.eq(values_scales.o),
            words.i_weighed.eq(weights.o_weighed), words.i_used.eq(outputs.o_used),
            outputs.i_summed.eq(words.o_summed),
        ]
        for number, lane in enumerate(lanes):
            m.submodules[f"lane_{number}"] = lane
            self._connect_lane(m, number, lane, loader, words, scores, weights, outputs)
        return m

    def _connect_lane(self, m: Module, number: int, lane: QueryLane, loader, words, scores,
                      weights, outputs) -> None:
        def own(out) -> Value:
            return out.valid & (out.lane == number)

        m.d.comb += [
            lane.i_codes.valid.eq(own(loader.o_codes)),
            lane.i_codes.bank.eq(loader.o_codes.bank), lane.i_codes.beat.eq(loader.o_codes.beat),
            Cat(lane.i_codes.codes).eq(Cat(loader.o_codes.codes)),
            lane.i_weight.valid.eq(own(weights.o_weight)),
            lane.i_weight.bank.eq(weights.o_weight.bank),
            lane.i_weight.token.eq(weights.o_weight.token),
            lane.i_weight.weight.eq(weights.o_weight.weight),
            lane.i_count.valid.eq(own(scores.o_count)),
            lane.i_count.bank.eq(scores.o_count.bank), lane.i_count.count.eq(scores.o_count.count),
            lane.i_control.eq(words.o_control), lane.i_word.eq(words.o_word),
            lane.i_dot.eq(scores.o_place), scores.i_dot[number].eq(lane.o_dot),
            lane.i_sum.eq(outputs.o_sum), outputs.i_sums[number].eq(lane.o_sums),
        ]
