"""Decode of models larger than memory on a phone: PowerInfer-2 (arXiv 2406.06282v3).

Published of Mixtral-47B: 11.68 tokens/s in 19 GB, 9.96 with half of the feed-forward weights in
flash, 2.13 in 7 GB. How much of the two experts' neurons a token reads is not given; it is fitted
to the first, whose memory is taken to hold all that is read. Which neurons are read how often is
not given either: the last is predicted as if all were read equally often. What waiting for flash
adds to a step is published of another model, Bamboo-7B, and tried on the second.
"""

from __future__ import annotations

from ...descriptions.soc import Soc, load_soc
from ..soc_tasks import LayerShape, decode_step
from ..tensor_parallel import BlockTimes, stream_weights
from .row import Basis, Row

__all__ = ["expert_bytes", "pinned_bytes", "read_bytes", "rows"]

_SOURCE = "PowerInfer-2, decode by memory"
_READERS = ("CPU", "NPU")
_FLASH = 3.5e9              # bytes per second, random reads: PowerInfer-2's UFS 4.0
_BAMBOO_COMPUTE = 0.863     # of Bamboo-7B's step; the rest waits for flash
_BYTES = 0.5                # of a weight at 4 bits
_EXPERTS = 8

# Mixtral 8x7B (config.json): the matrices of one expert after those of attention, and the head.
_MIXTRAL = LayerShape(
    32, 4096, ((4096, 4096), (1024, 4096), (1024, 4096)),
    ((4096, 4096), (14336, 4096), (14336, 4096), (4096, 14336)),
)
_HEAD = 32_000 * 4096
_FULL, _HALF, _SMALL = 11.68, 9.96, 2.13   # tokens per second
_SMALL_MEMORY = 7e9


def expert_bytes() -> float:
    """Bytes of one expert of each layer."""
    return _BYTES * _MIXTRAL.layers * sum(M * K for M, K in _MIXTRAL.after[1:])


def pinned_bytes() -> float:
    """Bytes that every token reads: attention and head."""
    return _BYTES * (_MIXTRAL.parameters + _HEAD) - expert_bytes()


def read_bytes(soc: Soc) -> float:
    """Bytes of experts that a token reads, fitted to the rate in 19 GB."""
    return soc.dram.sustained.nominal * 1e9 / _FULL - pinned_bytes()


def rows() -> list[Row]:
    """Mixtral's three points."""
    soc = load_soc("snapdragon-8-gen-3")
    pinned, read = pinned_bytes(), read_bytes(soc)
    step = decode_step(soc, _READERS, pinned + read).makespan
    missing = 1 - (_SMALL_MEMORY - pinned) / (_EXPERTS * expert_bytes())
    return [
        Row(_SOURCE, "Mixtral-47B in 19 GB", "token/s", 1 / step, _FULL, Basis.FITTED, 0.001),
        Row(_SOURCE, "Mixtral-47B, half of its feed-forward weights in flash", "token/s",
            _BAMBOO_COMPUTE / step, _HALF, Basis.HELD_OUT, 0.05),
        Row(_SOURCE, "Mixtral-47B in 7 GB, neurons read equally often", "token/s",
            1 / _streamed(step, pinned, read, missing), _SMALL, Basis.HELD_OUT, 0.55),
    ]


def _streamed(step: float, pinned: float, read: float, missing: float) -> float:
    """Seconds of a step whose ``missing`` part of the experts comes from flash meanwhile."""
    layers = _MIXTRAL.layers
    attention = step * pinned / (pinned + read) / layers
    times = BlockTimes(
        attention=attention, ffn=step / layers - attention, all_reduce=0.0, load_attention=0.0,
        load_ffn=missing * read / _FLASH / layers,
    )
    return stream_weights(times, layers, window=2).makespan
