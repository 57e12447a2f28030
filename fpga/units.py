"""The units of the accelerator's datapath, each as large as the parameters say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..hw.attention.attention import Attention
from ..hw.attention.cache_writer import CacheWriter
from ..hw.component import Component
from ..hw.matmul.activation_buffer import ActivationBuffer
from ..hw.matmul.dequantizer import Dequantizer
from ..hw.matmul.digit_sum import DigitSum
from ..hw.matmul.group_dequantizer import GroupDequantizer
from ..hw.matmul.job_repeater import JobRepeater
from ..hw.matmul.scale_codes import CODE_BITS
from ..hw.matmul.tlmm import Tlmm
from ..hw.memory.axi import COUNT_WIDTH, BurstAttributes
from ..hw.memory.shared_reader import SharedReader
from ..hw.memory.shared_writer import SharedWriter
from ..hw.memory.write_master import WriteMaster
from ..hw.rows.angle_pairs import AnglePairs
from ..hw.rows.bias_add import BiasAdd
from ..hw.rows.elementwise import residual_add
from ..hw.rows.gate_rows import GateRows
from ..hw.rows.quantizer import Quantizer
from ..hw.rows.rms_norm import RmsNorm
from ..hw.rows.rotary import Rotary
from ..hw.rows.row_sink import RowSink
from ..hw.rows.row_source import RowSource
from ..hw.vocabulary.embedding import Embedding
from ..hw.vocabulary.head import Head
from ..hw.vocabulary.logit_writer import LogitWriter
from ..hw.weights.buffer_planner import weight_beat_width
from ..hw.weights.scale_splitter import ScaleSplitter
from ..hw.weights.tile_buffer import TileBuffer
from ..hw.weights.unpacker import Unpacker
from .accelerator_parameters import AcceleratorParameters
from .fetchers import BEATS_WIDTH, REPEATS_WIDTH

__all__ = ["OPTIONS", "READERS", "UNITS", "WRITERS"]

# Who reads, those first that hold up others.
READERS = ("descriptors", "tiles", "row_source_a", "row_source_b", "vocabulary", "cache", "weights")
# Bursts that each one's queue holds: enough for the latency of memory and for bursts of others that
# were asked for before. A block RAM holds twice as many; as LUT RAM, a queue of one burst takes 300
# LUTs.
READER_BURSTS = 12
WRITERS = ("rows", "cache", "token", "logits")


def _port(p: AcceleratorParameters) -> dict[str, int]:
    return {"address_width": p.address_width, "word_bytes": p.word_bytes}


def _bursts(p: AcceleratorParameters) -> dict[str, Any]:
    return {"max_burst": p.max_burst, "outstanding": p.outstanding, "count_width": COUNT_WIDTH,
            "timeout": None, "attributes": BurstAttributes(p.axi_cache, p.axi_prot), **_port(p)}


def _rows(p: AcceleratorParameters) -> dict[str, int]:
    return {"lanes": p.lanes, "max_beats": p.max_beats, **_port(p)}


def _tiles(p: AcceleratorParameters) -> TileBuffer:
    return TileBuffer(width=weight_beat_width(p.tlmm), depth=p.weight_beats,
                      beats_width=BEATS_WIDTH, repeats_width=REPEATS_WIDTH)


# ``Core`` calls each of them by its name here. Of ``OPTIONS`` it has those that the parameter of
# the accelerator asks for.
UNITS: dict[str, Callable[[AcceleratorParameters], Component]] = {
    "reader": lambda p: SharedReader(
        queues=(READER_BURSTS * p.max_burst,) * len(READERS), **_bursts(p)),
    "writer": lambda p: SharedWriter(writers=len(WRITERS), **_port(p)),
    "write_master": lambda p: WriteMaster(**_bursts(p)),
    "row_source_a": lambda p: RowSource(**_rows(p)),
    "row_source_b": lambda p: RowSource(**_rows(p)),
    "sink": lambda p: RowSink(**_rows(p)),
    "unpacker": lambda p: Unpacker(p.weights),
    "tiles": _tiles,
    "engine": lambda p: Tlmm(p.tlmm),
    "activations": lambda p: ActivationBuffer(
        p.tlmm, lanes=p.lanes, depth=p.activation_beats, max_rows=p.max_tokens,
        max_passes=p.max_row_passes, grouped=p.scale_beats > 0),
    "dequantizer": lambda p: Dequantizer(p.tlmm, lanes=p.lanes, depth=p.tlmm.max_blocks),
    "norm": lambda p: RmsNorm(p.lanes, p.max_beats),
    "quantizer": lambda p: Quantizer(p.lanes, p.max_beats),
    "rotary": lambda p: Rotary(p.lanes, p.max_head_dim // (2 * p.lanes), p.max_heads),
    "angles": lambda p: AnglePairs(p.lanes),
    "gate": lambda p: GateRows(p.lanes, p.tlmm.columns // p.lanes, p.activations),
    "residual": lambda p: residual_add(p.lanes),
    "attention": lambda p: Attention(p.attention, p.address_width),
    "cache_writer": lambda p: CacheWriter(p.attention, p.address_width),
    "embedding": lambda p: Embedding(**_rows(p)),
    "logits": lambda p: LogitWriter(max_rows=p.max_vocabulary, **_port(p)),
    "head": lambda p: Head(word_bytes=p.word_bytes, lanes=p.lanes, max_width=p.max_width,
                           max_rows=p.max_vocabulary, factor_cycles=1 + p.factor_registers),
}
OPTIONS: dict[str, tuple[str, Callable[[AcceleratorParameters], Component]]] = {
    "bias": ("biases", lambda p: BiasAdd(p.lanes)),
    "jobs": ("scale_beats", lambda p: JobRepeater(p.tlmm)),
    "digits": ("scale_beats", lambda p: DigitSum(p.tlmm)),
    "splitter": ("scale_beats", lambda p: ScaleSplitter(
        word_bytes=p.word_bytes, lanes=p.scale_lanes, beats_width=BEATS_WIDTH)),
    "scales": ("scale_beats", lambda p: TileBuffer(
        width=CODE_BITS * p.scale_lanes, depth=p.scale_beats, beats_width=BEATS_WIDTH,
        repeats_width=REPEATS_WIDTH)),
    "group_dequantizer": ("scale_beats", lambda p: GroupDequantizer(
        p.tlmm, width=p.scale_lanes, lanes=p.lanes, depth=p.tlmm.max_blocks)),
}
