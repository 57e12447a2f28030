"""Counters of a step of a whole model by operator, from predictions of a small part of it.

A step of two layers is predicted (more where the weight buffer holds more than a layer) and a
part of the vocabulary. What a further layer costs is what passes from late in the last layer but
one to the same place in the last: by then the weights that were fetched before the first layer
began are used up, and that no layer follows is not felt yet. Further rows of the head cost what
as many rows cost more when there are twice as many.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.events import COUNTERS
from ...fpga.planner import plan_program
from ...model import ModelConfig
from ..descriptions.ddr_timing import DdrTiming
from .operator_rows import LM_HEAD, OperatorRows
from .store import stored_trace

__all__ = ["total", "whole_step"]

_ROWS = 2048   # of the vocabulary, of which the others' cost is extrapolated
_KEPT = 256    # steps; each prompt length has its own
_COLUMNS = {name: column for column, name in enumerate(COUNTERS)}


def total(counts: np.ndarray, counter: str = "cycles") -> float:
    """A counter of all operators."""
    return float(counts[:, _COLUMNS[counter]].sum())


@lru_cache(_KEPT)   # corners often share a timing
def whole_step(config: ModelConfig, parameters: AcceleratorParameters, timing: DdrTiming,
               capacity: int, tokens: int, position: int, chooses: bool,
               vocabulary_bits: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Counters of a step of the whole model: float64 [operators, counters].

    An operator's are those from its descriptor's start to the next one's; the first one's begin
    with the step, the last one's end with it.
    """
    rows = config.vocab_size if config.vocab_size <= _ROWS else min(_ROWS, config.vocab_size // 2)
    small = replace(config, vocab_size=rows)
    layers = min(config.num_layers, _layers(small, parameters))
    program = plan_program(small, parameters, capacity, layers, vocabulary_bits)
    operators = OperatorRows.of(program)
    before, inside, after = operators.split(
        program, _differences(stored_trace(program, timing, tokens, position, chooses)))
    late = operators.late
    further = np.concatenate([inside[-1, :late], inside[-2:][0, late:]])
    each = inside.sum(axis=0) + (config.num_layers - layers) * further
    if not chooses:   # what chooses a token is passed over, in a few cycles
        each[-1] += after.sum(axis=0)
        after = np.zeros_like(after)
    elif rows < config.vocab_size:
        after[-1] += (config.vocab_size / rows - 1) * _rows(
            small, parameters, timing, vocabulary_bits)
    return np.vstack([before, each, after])


def _layers(config: ModelConfig, parameters: AcceleratorParameters) -> int:
    """Layers after which the buffer of weights is as full in each as in the one before."""
    tiles = plan_program(config, parameters, 2, 1).tiles
    return 1 - (-parameters.weight_beats // sum(tile.beats for tile in tiles))


@lru_cache(_KEPT)
def _rows(config: ModelConfig, parameters: AcceleratorParameters, timing: DdrTiming,
          vocabulary_bits: tuple[int, int]) -> np.ndarray:
    """What the head costs more with twice the vocabulary."""
    fewer, more = (_head(replace(config, vocab_size=rows), parameters, timing, vocabulary_bits)
                   for rows in (config.vocab_size, 2 * config.vocab_size))
    return more - fewer


def _head(config: ModelConfig, parameters: AcceleratorParameters, timing: DdrTiming,
          vocabulary_bits: tuple[int, int]) -> np.ndarray:
    """Counters of the head in a step of one token through one layer."""
    program = plan_program(config, parameters, 2, 1, vocabulary_bits)
    place = [origin.operator for origin in program.origins].index(LM_HEAD)
    return _differences(stored_trace(program, timing, 1, 0, True))[place]


def _differences(notes: np.ndarray) -> np.ndarray:
    """Counters of each descriptor; what came before the first one is its own."""
    counts = np.diff(notes, axis=0).astype(np.float64)
    counts[0] += notes[0]
    return counts
