"""Counters of a step of a whole model by operator, from predictions of a small part of it.

A step of two layers is predicted (more where the weight buffer holds more than a layer) and a
part of the vocabulary. What a further layer costs is what passes from late in the last layer but
one to the same place in the last: by then the weights that were fetched before the first layer
began are used up, and that no layer follows is not felt yet. Further rows of the head cost what
as many rows cost more when there are twice as many.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from ...fpga.counters import COUNTERS
from ...fpga.parameters import AcceleratorParameters
from ...fpga.planner import plan_program
from ...model import ModelConfig
from ..descriptions.ddr_timing import DdrTiming
from .store import stored_trace

__all__ = ["ATTENTION", "LAYERS", "operator_names", "total", "whole_step"]

ATTENTION = "attention"
LAYERS = slice(1, 12)   # of ``operator_names``, what is in every layer
_LAYER, _LATE = 11, 9   # operators of a layer; the one before its last matmul
_ROWS = 2048            # of the vocabulary, of which the others' cost is extrapolated
_COLUMNS = {name: column for column, name in enumerate(COUNTERS)}


def operator_names(config: ModelConfig) -> tuple[str, ...]:
    """An accelerator's operators, in the order of their descriptors."""
    after = "sub_norm" if config.sub_norm else "quantize"
    return ("embedding", "input_norm", "q_proj", "k_proj", "v_proj", ATTENTION, f"attn_{after}",
            "o_proj", "post_norm", "gate_up_proj", f"ffn_{after}", "down_proj", "final_norm",
            "lm_head")


def total(counts: np.ndarray, counter: str = "cycles") -> float:
    """A counter of all operators."""
    return float(counts[:, _COLUMNS[counter]].sum())




@cache   # corners often share a timing
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
    by_descriptor = _differences(stored_trace(program, timing, tokens, position, chooses))
    inside = by_descriptor[1:1 + _LAYER * layers].reshape(layers, _LAYER, -1)
    others = config.num_layers - layers
    further = np.concatenate([inside[-1, :_LATE], inside[-2:][0, _LATE:]])
    each = inside.sum(axis=0) + others * further
    norm, head, end = by_descriptor[1 + _LAYER * layers:]
    head = head + end
    if not chooses:   # passed over, in a few cycles
        each[-1] += norm + head
        norm = head = np.zeros(len(COUNTERS))
    elif rows < config.vocab_size:
        head = head + (config.vocab_size / rows - 1) * _rows(
            small, parameters, timing, vocabulary_bits)
    return np.vstack([by_descriptor[0], each, norm, head])


def _layers(config: ModelConfig, parameters: AcceleratorParameters) -> int:
    """Layers after which the buffer of weights is as full in each as in the one before."""
    tiles = plan_program(config, parameters, 2, 1).tiles
    return 1 - (-parameters.weight_beats // sum(tile.beats for tile in tiles))


@cache
def _rows(config: ModelConfig, parameters: AcceleratorParameters, timing: DdrTiming,
          vocabulary_bits: tuple[int, int]) -> np.ndarray:
    """What the head costs more with twice the vocabulary."""
    heads = [
        _differences(stored_trace(
            plan_program(replace(config, vocab_size=rows), parameters, 2, 1, vocabulary_bits),
            timing, 1, 0, True))
        for rows in (config.vocab_size, 2 * config.vocab_size)]
    return heads[1][-2] - heads[0][-2]


def _differences(notes: np.ndarray) -> np.ndarray:
    """Counters of each descriptor; what came before the first one is its own."""
    counts = np.diff(notes, axis=0).astype(np.float64)
    counts[0] += notes[0]
    return counts
