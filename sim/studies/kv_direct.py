"""Residual checkpoints instead of keys and values (KV-Direct, arXiv 2603.19664), both ways.

Its 27-fold saving keeps the residual of *one* layer: keys and values of all layers then come from
running all layers again. Keeping every layer's residual, from which one projection gives keys and
values, takes more bytes than they do.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KvDirect"]


@dataclass(frozen=True)
class KvDirect:
    """A decoder, as far as its cache goes; ``bytes`` per stored value."""

    layers: int
    hidden: int
    kv_heads: int
    head_dim: int
    bytes: int = 2

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.bytes

    @property
    def checkpoint_bytes(self) -> int:
        """The residual of one layer of one token."""
        return self.hidden * self.bytes

    @property
    def residual_bytes(self) -> int:
        """The residuals of all layers of one token."""
        return self.layers * self.checkpoint_bytes

    @property
    def projection_flop(self) -> int:
        """FLOP to get one token's keys and values from the residuals of all layers."""
        return 2 * self.layers * self.hidden * 2 * self.kv_heads * self.head_dim

    def replay_flop(self, layer_parameters: float) -> float:
        """FLOP to get them from one checkpoint: all layers again, attention not counted."""
        return 2 * layer_parameters
