"""How an accelerator lays a model out in external memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...model import ModelConfig

__all__ = ["NORM_BITS", "DramLayout"]

NORM_BITS = 32   # norm weights, biases and scales are float32


@dataclass(frozen=True)
class DramLayout:
    """How an accelerator lays a model out in DRAM and moves it.

    ``weight_bits`` per weight of a layer's matrix, whose M and K are padded to multiples of
    ``pad_m`` and ``pad_k``; ``head_bits`` of embedding and LM head, ``kv_bits`` of keys and values;
    below 16 bits a row of the head, and a head's key or value of one position, has a float32 scale
    (``head_scales``, ``kv_scales``). ``query_rows`` queries share one read of the cache; ``spill``:
    activations go through DRAM between operators.
    """

    weight_bits: float
    head_bits: int = 8
    kv_bits: int = 8
    pad_m: int = 1
    pad_k: int = 1
    query_rows: int = 8
    spill: bool = False
    kv_scales: bool = True
    head_scales: bool = True

    def matrix_bytes(self, M: int, K: int) -> int:
        """Bytes of a layer's [M, K] matrix as streamed."""
        rows = -(-M // self.pad_m) * self.pad_m
        columns = -(-K // self.pad_k) * self.pad_k
        return math.ceil(rows * columns * self.weight_bits / 8)

    def head_bytes(self, rows: int, hidden: int) -> int:
        """Bytes of ``rows`` rows of the embedding or the LM head."""
        scale = NORM_BITS if self.head_scales and self.head_bits < 16 else 0
        return rows * (hidden * self.head_bits + scale) // 8

    def kv_bytes(self, config: ModelConfig, positions: int) -> int:
        """Bytes of the keys (or of the values) of one layer at ``positions`` positions."""
        scale = NORM_BITS if self.kv_scales and self.kv_bits < 16 else 0
        return positions * config.num_kv_heads * (config.head_dim * self.kv_bits + scale) // 8
