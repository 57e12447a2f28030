"""Constants of the cycle model: widths, depths and latencies, as the hardware states them."""

from __future__ import annotations

from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.compiler import Program
from ...fpga.descriptors import DESCRIPTOR_BYTES, TILE_BYTES
from ...fpga.units import READER_BURSTS
from ...hw.attention.attention_parameters import TILE, TILES_AHEAD, TILES_UNDER_WAY
from ...hw.attention.exponentials import Exponentials
from ...hw.attention.query_lane import QueryLane
from ...hw.attention.words import Scales
from ...hw.floats.add import FloatAdd
from ...hw.floats.compare import FloatCompare
from ...hw.floats.from_integer import IntegerToFloat
from ...hw.floats.multiply import FloatMultiply
from ...hw.floats.reciprocal import FloatReciprocal
from ...hw.floats.shared_quadratic import SharedQuadratic
from ...hw.floats.to_integer import FloatToInteger
from ...hw.matmul.group_dequantizer import UNDER_WAY, GroupDequantizer
from ...hw.rows.gates import gate_unit
from ...hw.rows.lane_sum import LaneSum
from ...hw.rows.rms_norm import RmsNorm
from ...hw.rows.rotary import Rotary
from ..descriptions.ddr_timing import DdrTiming

__all__ = ["group_constants", "hardware_constants", "step_constants"]

_MULTIPLY, _ADD = FloatMultiply.latency, FloatAdd.latency
_TO_FLOAT, _TO_INTEGER = IntegerToFloat.latency, FloatToInteger.latency


def _levels(addends: int) -> int:
    """Latency of ``AdderTree``."""
    return (addends - 1).bit_length()


def step_constants(program: Program, timing: DdrTiming, tokens: int, position: int,
              chooses: bool, started: int) -> dict[str, int]:
    """Everything that does not change during a step.

    Latencies count from operands taken to a result that is ready to be put into a queue.
    """
    return hardware_constants(program.parameters, timing) | group_constants(program.parameters) | {
        "tokens": tokens, "position": position, "chooses": int(chooses), "started": started,
        "program": program.word("program"), "list": program.word("tiles"),
        "vocabulary": program.config.vocab_size}


def hardware_constants(p: AcceleratorParameters, timing: DdrTiming) -> dict[str, int]:
    """The constants of an accelerator and its memory, equal for all programs and steps."""
    return _memory(p, timing) | _matmul(p) | _rows(p) | _attention(p) | _vocabulary(p)


def group_constants(p: AcceleratorParameters) -> dict[str, int]:
    """What weights with scales of groups need besides, and no others."""
    if not p.scale_beats:
        return {"scale_depth": 0, "group_latency": 0}
    return {
        "scale_depth": p.scale_beats, "scale_word_beats": p.word_bytes // (2 * p.scale_lanes),
        "group_parts": p.tlmm.columns // p.scale_lanes, "narrow_parts": p.scale_lanes // p.lanes,
        "group_latency": GroupDequantizer.latency, "group_wait": UNDER_WAY,
    }


def _memory(p: AcceleratorParameters, timing: DdrTiming) -> dict[str, int]:
    return {
        "max_burst": p.max_burst, "outstanding": p.outstanding, "ddr_latency": timing.latency,
        "ddr_words": timing.words, "ddr_cycles": timing.per_cycles,
        "refresh_interval": timing.refresh_interval, "refresh_cycles": timing.refresh_cycles,
        "turnaround": timing.turnaround, "ddr_queue": timing.queue,
        "list_bursts": READER_BURSTS, "row_bursts": READER_BURSTS, "data_bursts": READER_BURSTS,
        "descriptor_words": DESCRIPTOR_BYTES // p.word_bytes,
        "tiles_per_word": max(1, p.word_bytes // TILE_BYTES), "word_beats": p.word_beats,
    }


def _matmul(p: AcceleratorParameters) -> dict[str, int]:
    tlmm, layout = p.tlmm, p.weights
    return {
        "shared_words": layout.shared_words, "whole_words": layout.whole_words, "weight_ports": 1,
        "frame_beats": layout.frame_beats, "weight_depth": p.weight_beats,
        "table_entries": tlmm.entries, "engine_latency": tlmm.latency,
        "block_beats": tlmm.columns // p.lanes,
        "scale_latency": _TO_FLOAT + 2 * _MULTIPLY,
    }


def _rows(p: AcceleratorParameters) -> dict[str, int]:
    quantizer = _levels(p.lanes) + 1 + FloatReciprocal.latency + _MULTIPLY
    code = _MULTIPLY + _TO_INTEGER
    return {
        "norm_scale_latency": 2 * _MULTIPLY, "norm_wait": RmsNorm.latency,
        "factor_latency": RmsNorm.latency - 2 - 2 * _MULTIPLY,
        "square_latency": LaneSum.squares_latency,
        "largest_latency": quantizer, "code_latency": code,
        "quantizer_wait": quantizer + code + 2, "reciprocal_period": SharedQuadratic.period,
        "add_latency": _ADD, "turn_latency": Rotary.latency - 2,
        "gate_latency": gate_unit(p.activations).latency, "gate_elements": p.lanes,
    }


def _attention(p: AcceleratorParameters) -> dict[str, int]:
    a = p.attention
    largest = 1 + FloatReciprocal.latency + _MULTIPLY
    keep = QueryLane.read_latency + _TO_FLOAT + _MULTIPLY + _ADD
    return {
        "queries": a.queries, "scale_words": a.scale_words, "cache_rows": a.rows,
        "word_tokens": a.word_tokens, "chunk_beats": a.chunk // p.lanes,
        "dot_latency": a.factor_cycles + 1 + _levels(a.chunk) + 2,
        "sum_latency": a.factor_cycles + 1 + _levels(a.word_tokens) + 1,
        "score_latency": QueryLane.read_latency + _TO_FLOAT + 2 * _MULTIPLY,
        "exponential_latency": Exponentials.latency - 1,
        "row_sum_latency": LaneSum.sum_latency,
        "fold_latency": LaneSum.sum_latency + _MULTIPLY + _ADD + FloatReciprocal.latency,
        "weigh_latency": Scales.read_latency + _MULTIPLY,
        "weight_largest_latency": largest, "weight_wait": largest + _MULTIPLY + _TO_INTEGER + 2,
        "keep_latency": keep, "output_latency": keep + _MULTIPLY, "cache_tile": TILE,
        "word_floats": a.word_floats, "tiles_under_way": TILES_UNDER_WAY,
        "tiles_ahead": TILES_AHEAD, "block_wait": 0,
    }


def _vocabulary(p: AcceleratorParameters) -> dict[str, int]:
    products = 3 + _levels(2 * p.word_bytes)   # two codes in each byte, at most
    return {
        "embed_latency": _TO_FLOAT + _MULTIPLY, "code_word_beats": p.word_bytes // p.lanes,
        "group_rows": p.word_bytes // 4,
        "choice_latency": products + _TO_FLOAT + 2 * _MULTIPLY + FloatCompare.latency + 1,
    }
