"""What a token costs beyond seconds: dollars by Step-3's formula, prefill equivalents by PTE's.

Step-3 (stepfun-ai/Step3, technical report): the cost of a decoded token is what it keeps busy, at
the price of the hardware for an hour divided by its peak. PTE: decoded tokens counted as prefill
tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..descriptions.quantity import Quantity

__all__ = ["Prices", "TokenWork", "attention_cost", "ffn_cost", "pte", "pte_gamma", "total_cost"]


@dataclass(frozen=True)
class Prices:
    """Dollars per FLOP and per byte read of one piece of hardware, kept fully busy."""

    name: str
    flop: Quantity
    byte: Quantity


@dataclass(frozen=True)
class TokenWork:
    """What one decoded token asks for.

    FLOP of attention over its context, of the projections around it and of the feed-forward part;
    bytes of keys and values.
    """

    attention: float
    projections: float
    ffn: float
    kv_bytes: float


def attention_cost(work: TokenWork, prices: Prices) -> float:
    """Dollars of attention: its arithmetic or its reads, whichever costs more; and projections."""
    flop, byte = prices.flop.nominal, prices.byte.nominal
    return max(work.attention * flop, work.kv_bytes * byte) + work.projections * flop


def ffn_cost(work: TokenWork, prices: Prices) -> float:
    """Dollars of the feed-forward part, with a batch large enough to be bound by arithmetic."""
    return work.ffn * prices.flop.nominal


def total_cost(work: TokenWork, hardware: list[Prices]) -> float:
    """Dollars with attention and feed-forward each on the hardware that is cheapest for it."""
    attention = min(attention_cost(work, prices) for prices in hardware)
    return attention + min(ffn_cost(work, prices) for prices in hardware)


def pte_gamma(
    layers: int, hidden: int, active_parameters: float, kv_heads: int, query_heads: int,
    flop_per_byte: float,
) -> float:
    """PTE's gamma: prefill equivalents of one decoded token per token of context.

    ``flop_per_byte``: the hardware's peak arithmetic over its bandwidth.
    """
    return 2 * layers * hidden * flop_per_byte / active_parameters * kv_heads / query_heads


def pte(gamma: float, turns: list[tuple[int, int, int]]) -> float:
    """Prefill equivalents of ``turns``: (prefilled tokens, tokens in context, decoded tokens).

    It leaves out the weights that every decoded token reads, which dominate at batch 1.
    """
    return sum(prefill + gamma * context * decoded for prefill, context, decoded in turns)
