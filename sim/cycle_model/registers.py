"""The accelerator's state as the cycle model keeps it: one record, whose fields have names.

Numba compiles an access to a field of a record to one load or store, and ``machine.walk`` says what
it is. A field is added by its name, anywhere.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from ...fpga.descriptors import FIELDS as _DESCRIPTOR_FIELDS
from ...fpga.descriptors import FLOATS as _FLOATS
from ...fpga.events import COUNTERS
from ...fpga.units import READERS as _READERS
from . import streams as q

RING = 64                 # bursts, passes and tiles of the cache that are kept
CAPACITY = 1 << 14        # entries that a queue can hold at most
GROUP_TIMES = 16
PASS_FIELDS, CACHE_TILE_FIELDS = 5, 5
ASKED_COLUMNS = 6
READERS = len(_READERS)
FIELDS = [name for name in _DESCRIPTOR_FIELDS if name not in _FLOATS]

# What the units hold, each a number.
_PORT = (
    "noted", "reads", "reads_done", "writes", "writes_done", "write_left", "write_valid_at",
    "write_free_at", "write_at", "write_cut", "write_cut_last", "announced", "write_beat",
    "serves", "serves_from",
    "serves_free_at", "write_words_left", "direction", "turning", "between", "saved",
    "write_room", "read_moved",
)
_SEQUENCER = (
    "state", "ended", "place", "operation", "active_from", "walked", "pending", "fetching",
    "fetched_part", "fetched", "listing", "listed", "list_place", "weights_asked", "tile_told",
)
_MATMUL = (
    "unpacked_tile", "unpacked_words", "shared", "own", "frame_beat", "held", "past",
    "tile_beat", "round", "reading", "reading_left", "building", "built", "tables_full",
    "job_queued", "queued_blocks", "job_active", "job_blocks", "pass_number", "block", "part",
)
_ROWS = (
    "sink_place", "sink_beat", "norm_taken", "norm_given", "sum_idle_at", "code_taken",
    "code_given",
)
_POSTS = (
    "head_beat", "heads_full", "angle_sine", "angles_full", "turn_beat", "turn_head",
    "gate_place", "is_up", "writing", "write_place", "gate_element",
)
_GROUPS = (
    "scales_given", "scale_part", "scales_held", "scales_past", "scales_beat", "scales_round",
    "scales_took", "split_told", "scales_told", "job_times", "digit", "narrow_part", "group",
    "group_beat", "group_part", "group_size",
)
_DRIVERS = (
    "walk", "tile", "token", "heads_left", "left", "kv", "member", "count", "tile_out",
    "tile_beside", "tile_bias", "tile_cache", "out", "beside", "head_at", "source", "source_head",
    "out_head",
)
_ATTENTION = (
    "passes", "tiles", "walking", "walk_pass", "walk_left", "values_asked", "passes_loaded",
    "load_lane", "load_bank", "oldest_bank", "load_scales", "begun", "block_word", "weighed",
    "weighed_before", "unused", "walk_word", "walk_remaining", "score_lane", "score_token",
    "score_count", "counted", "score_runs", "shrunk", "lane_sum_idle_at", "keeping_until",
    "output_beat", "exponential_summed", "exponential_weighed",
)
_VOCABULARY = (
    "embed_state", "embed_done", "embed_place", "embed_beat", "stored", "head_word",
)

# What does not change during a step: as ``constants.constants`` names it.
_CONSTANTS = (
    "tokens", "position", "chooses", "started", "program", "list", "vocabulary", "max_burst",
    "outstanding", "ddr_latency", "ddr_words", "ddr_cycles", "refresh_interval",
    "refresh_cycles", "turnaround", "ddr_queue", "list_bursts", "row_bursts", "data_bursts",
    "weight_ports", "gate_elements", "descriptor_words", "tiles_per_word", "word_beats",
    "shared_words", "whole_words", "frame_beats", "weight_depth", "table_entries",
    "engine_latency", "block_beats", "scale_latency", "norm_scale_latency", "norm_wait",
    "factor_latency", "square_latency", "largest_latency", "code_latency", "quantizer_wait",
    "add_latency", "turn_latency", "gate_latency", "queries", "scale_words", "cache_rows",
    "word_tokens", "chunk_beats", "dot_latency", "sum_latency", "score_latency",
    "exponential_latency", "row_sum_latency", "fold_latency", "weigh_latency",
    "weight_largest_latency", "weight_wait", "keep_latency", "output_latency", "cache_tile",
    "word_floats", "tiles_ahead", "block_wait", "embed_latency", "code_word_beats",
    "group_rows", "choice_latency", "reciprocal_period", "tiles_under_way", "scale_depth",
    "scale_word_beats", "group_parts", "narrow_parts", "group_latency", "group_wait",
)

_NUMBERS = (*_PORT, *_SEQUENCER, *_MATMUL, *_GROUPS, *_ROWS, *_POSTS, *_DRIVERS, *_ATTENTION,
            *_VOCABULARY, *_CONSTANTS)
_ARRAYS = {
    "descriptor": (len(FIELDS),),    # the one that is being done: see ``D``
    "counters": (len(COUNTERS),),    # see ``N``
    "asked": (READERS, ASKED_COLUMNS),   # of a reader: see ``port``
    "free_at": (READERS,),
    "reserved": (READERS,),
    "beats": (2, 2),                 # of rows a and b: place in the word, in the row
    "loaded": (2,),                  # whether a bank of queries is
    "coded": (2, RING),              # the cycles in which rows ended in the two quantizers
    "group_times": (GROUP_TIMES,),   # cycles in which beats entered the adders of groups
    "read_bursts": (RING, 3),        # reader, words, due
    "write_bursts": (RING, 3),       # words, due, whether it is the last one of its request
    "attention_passes": (RING, PASS_FIELDS),
    "cache_tiles": (RING, CACHE_TILE_FIELDS),
    "taken": (q.COUNT,),             # entries of each queue: taken, put, the most that it holds
    "put": (q.COUNT,),
    "limit": (q.COUNT,),
    "mask": (q.COUNT,),              # places of its ring, a power of two, less one
    "entries": (q.COUNT, CAPACITY, 2),   # the cycle from which it can be taken, what it is
}

MACHINE = np.dtype([
    *((name, np.int64) for name in _NUMBERS),
    *((name, np.int64, shape) for name, shape in _ARRAYS.items()),
])
# One element of a record array of ``MACHINE``: np.record, whose fields no type checker knows.
Machine: TypeAlias = Any

CODED_ROWS, CODED_WEIGHTS = range(2)   # rows of ``coded``


def _places(names: Iterable[str]) -> Any:
    """A named tuple that has the place of each of ``names``: Numba takes it for constants."""
    names = tuple(names)
    return namedtuple("Places", names)(*range(len(names)))


D = _places(FIELDS)     # of the descriptor's fields in ``descriptor``
N = _places(COUNTERS)   # of the counters in ``counters``
