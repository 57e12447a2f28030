"""The accelerator before a step, as a record for Numba, and the lists that it reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import EstimateError
from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.compiler import Program
from ...fpga.units import READERS
from ...hw.attention.attention_parameters import TILE
from ..descriptions.ddr_timing import DdrTiming
from . import registers as r
from . import streams as q
from .constants import step_constants

__all__ = ["new_machine", "program_lists"]


def new_machine(program: Program, timing: DdrTiming, tokens: int, position: int,
                chooses: bool, started: int, differs: Mapping[str, int]) -> r.Machine:
    """The accelerator before a step: nothing has happened yet."""
    c = step_constants(program, timing, tokens, position, chooses, started) | dict(differs)
    m = np.zeros(1, r.MACHINE).view(np.recarray)[0]
    for name, value in c.items():
        m[name] = value
    m["between"] = 1
    limits = _limits(program.parameters, c)
    for queue in range(q.COUNT):
        limit = limits.get(queue, 2)
        if limit > r.CAPACITY:
            raise EstimateError(f"A queue of the accelerator holds {limit} entries; the cycle "
                                f"model has room for {r.CAPACITY}")
        m["limit"][queue], m["mask"][queue] = limit, (1 << (limit - 1).bit_length()) - 1
    return m


def program_lists(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """What the sequencer reads: int64 [descriptors, ``FIELDS``], and of each tile words, beats,
    first word and beats of scales.
    """
    descriptors = [[int(getattr(descriptor, name)) for name in r.FIELDS]
                   for descriptor in program.descriptors]
    tiles = [(tile.words, tile.beats, tile.word, tile.scales) for tile in program.tiles]
    return np.array(descriptors, np.int64), np.array(tiles, np.int64).reshape(-1, 4)


def _limits(p: AcceleratorParameters, c: dict[str, int]) -> dict[int, int]:
    """Entries of each queue that does not hold two."""
    jobs = c["tiles_under_way"] * p.queries + 1
    bursts = {q.DESCRIPTOR_WORDS: c["list_bursts"], q.TILE_WORDS: c["list_bursts"],
              q.A_WORDS: c["row_bursts"], q.B_WORDS: c["row_bursts"]}
    readers = {reader: bursts.get(reader, c["data_bursts"]) * p.max_burst
               for reader in range(len(READERS))}
    return readers | {
        q.RELEASED: p.outstanding + 1, q.WRITE_LENGTHS: p.outstanding,
        q.WRITTEN: 4, q.ACKNOWLEDGED: c["ddr_queue"], q.COMPLETED: 32,
        q.UNPACKED: 1, q.WEIGHT_BEATS: 3, q.ACTIVATIONS: 3,
        q.SUMS: c["engine_latency"] + 1, q.BLOCKS: p.tlmm.max_blocks,
        q.OUTPUTS: c["scale_latency"] + 2, q.WIDE: c["group_latency"] + 2,
        q.SCALE_BEATS: 3, q.DIGIT_SUMS: 1,
        q.A_LENGTHS: 4, q.B_LENGTHS: 4, q.SINK_LENGTHS: 4,
        q.SINK_ROWS: (c["tiles_ahead"] + 1) * p.queries + 1,
        q.NORM_ROW: p.max_beats + c["norm_wait"], q.FACTORS: 3,
        q.NORMED: c["norm_scale_latency"] + 2,
        q.CODE_ROW: p.max_beats + c["quantizer_wait"], q.INVERSES: 3,
        q.SCALES: 3, q.CODES: c["code_latency"] + 2,
        q.ADDED: c["add_latency"] + 2, q.BIASED: c["add_latency"] + 2,
        q.TURNED: c["turn_latency"] + 2,
        q.GATES: 2 * c["block_beats"], q.UPS: 2 * c["block_beats"], q.GATED: c["gate_latency"] + 2,
        q.CACHE_REQUESTS: 4, q.CACHE_BLOCKS: 4, q.SUMMED: 4,
        q.SCORED_TILES: c["tiles_ahead"] + 1,
        q.SCORES: c["score_latency"] + 2 * TILE, q.MAXIMA: 3, q.SHRINKS: 4,
        q.EXPONENTIALS: c["exponential_latency"] + 2,
        **dict.fromkeys((q.JOBS_SUMMED, q.JOBS_WEIGHED, q.JOBS_WRITTEN,
                         q.JOBS_PUT_OUT, q.ROW_FACTORS), jobs),
        q.ROW_SUMS: 4, q.STEPS: jobs - 1,
        q.SCALED: c["weigh_latency"] + 2, q.WEIGHT_ROW: TILE + c["weight_wait"],
        q.WEIGHT_INVERSES: 3, q.WEIGHT_STEPS: 3,
        q.WEIGHT_CODES: c["code_latency"] + 2,
        q.ATTENDED: c["output_latency"] + 2, q.EMBEDDED: c["embed_latency"] + 2,
    }
