"""An attention unit on a memory, and problems for it."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped

from support.memory_bench import load_beats
from trilobite.hw.attention.attention import Attention
from trilobite.hw.attention.attention_parameters import AttentionParameters
from trilobite.hw.attention.cache_layout import CacheLayout
from trilobite.hw.attention.tile_walker import pass_layout
from trilobite.hw.matmul.reference import pack_floats
from trilobite.hw.memory.axi import COUNT_WIDTH
from trilobite.hw.memory.read_master import ReadMaster
from trilobite.numerics import quantize_activation
from trilobite.runtime.kernels.attention.portable import attend_int8
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import Traffic
from trilobite.sim.verify.bench.ddr import DdrModel

ADDRESS_WIDTH = 24
TIMING = DdrTiming(latency=30)


class AttentionBench(wiring.Component):
    """Passes and queries in, heads out; the cache is loaded through ``i_load``."""

    def __init__(self, parameters: AttentionParameters, depth: int,
                 timing: DdrTiming = TIMING):
        port = {"word_bytes": parameters.word_bytes, "address_width": ADDRESS_WIDTH}
        self.depth = depth
        self.memory = DdrModel(depth=depth, timing=timing, **port)
        self.reader = ReadMaster(max_burst=16, outstanding=8, count_width=COUNT_WIDTH, **port)
        self.attention = Attention(parameters, ADDRESS_WIDTH)
        super().__init__({
            "i_load": self.memory.signature.members["i_load"],
            **{name: self.attention.signature.members[name]
               for name in ("i_pass", "i_codes", "i_scale", "o")},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        m.submodules.reader = reader = self.reader
        m.submodules.attention = attention = self.attention
        connect(m, reader.axi, memory.read)
        connect(m, attention.o_request, reader.i_request)
        connect(m, reader.o, attention.i_words)
        connect(m, flipped(self.i_load), memory.i_load)
        for name in ("i_pass", "i_codes", "i_scale", "o"):
            connect(m, flipped(getattr(self, name)), getattr(attention, name))
        return m


@dataclass
class Pass:
    """Queries float32 [Q, head_dim], ``group`` of them at each position from ``position`` on, and
    the cache they see: int8 [tokens, head_dim] and float32 [tokens]."""

    queries: np.ndarray
    position: int
    group: int
    keys: np.ndarray
    key_scales: np.ndarray
    values: np.ndarray
    value_scales: np.ndarray

    @property
    def positions(self) -> list[int]:
        return [self.position + number // self.group for number in range(len(self.queries))]

    def expected(self) -> np.ndarray:
        """What the runtime gives: float32 [Q, head_dim]."""
        cache = (self.keys[None], self.key_scales[None], self.values[None],
                 self.value_scales[None])
        return np.concatenate([
            attend_int8(query[None, None], *cache, position, len(self.keys))[0]
            for query, position in zip(self.queries, self.positions, strict=True)])


def random_pass(rng, parameters, head_dim, queries, position, group=1, spread=1.0):
    """A pass whose scores vary by about ``spread``."""
    tokens = position + (queries - 1) // group + 1
    return Pass(
        queries=(rng.standard_normal((queries, head_dim)) * spread).astype(np.float32),
        position=position, group=group,
        keys=rng.integers(-127, 128, (tokens, head_dim)).astype(np.int8),
        key_scales=rng.uniform(0.001, 0.02, tokens).astype(np.float32),
        values=rng.integers(-127, 128, (tokens, head_dim)).astype(np.int8),
        value_scales=rng.uniform(1e-3, 0.5, tokens).astype(np.float32))


def attention_traffic(bench: AttentionBench, passes: list[Pass], **keywords) -> list[Traffic]:
    """The caches, one behind the other, and then the passes."""
    parameters = bench.attention.parameters
    words, passed, codes, scales, outputs = [], [], [], [], 0
    for item in passes:
        layout = CacheLayout(parameters, item.queries.shape[1])
        passed.append(_pass_beat(parameters, item, layout, sum(map(len, words))))
        words.append(layout.pack(item.keys, item.key_scales, item.values, item.value_scales))
        for query in item.queries:
            row = np.empty(len(query), np.int8)
            scales.append(quantize_activation(query, row))
            beats = row.reshape(-1, parameters.lanes).view(np.uint8)
            last = np.zeros((len(beats), 1), np.uint8)
            last[-1] = 1
            codes.append(np.concatenate([beats, last], axis=1))
            outputs += len(beats)
    load = Traffic({"i_load": load_beats(np.concatenate(words), bench.depth)}, {})
    run = Traffic(
        {"i_pass": np.concatenate(passed), "i_codes": np.concatenate(codes),
         "i_scale": pack_floats(np.array(scales), 1)}, {"o": outputs}, **keywords)
    return [load, run]


def _pass_beat(parameters, item, layout, word):
    shape = pass_layout(parameters, ADDRESS_WIDTH)
    root = np.float32(1 / np.sqrt(item.queries.shape[1]))
    beat = shape.const({
        "word": word, "position": item.position, "last_position": item.positions[-1],
        "queries": len(item.queries), "group": item.group, "chunks": layout.chunks,
        "inverse_root": {"mantissa": int(root.view(np.uint32)) & 0x7FFFFF,
                         "exponent": int(root.view(np.uint32)) >> 23, "sign": 0},
    }).as_bits()
    size = -(-shape.size // 8)
    return np.frombuffer(beat.to_bytes(size, "little"), np.uint8).reshape(1, size)
