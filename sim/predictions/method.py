"""How the cycle model calculates, in the words of a report."""

from __future__ import annotations

from ..formulas.cycle_source import CountingMethod
from ..formulas.method import COMMON_TERMS, NEVER_MODELLED

__all__ = ["PREDICTIONS"]

_TERMS = (
    ("Cycles", "Every descriptor that the accelerator runs goes through a model of its queues, "
     "latencies and memory port, cycle by cycle. Widths, depths and latencies are the RTL's own; "
     "nothing is fitted. Two layers and a part of the vocabulary are predicted, further ones cost "
     "what these cost; of a long prompt's steps the first, the middle and the last whole one, and "
     "the others lie on lines between them."),
    ("Time of an operator", "From its descriptor's start to the next one's. Compute: cycles in "
     "which its unit takes an operand. Memory: words that the port moves meanwhile, weights that "
     "are fetched for later operators included. Start-up: what is left when the longer of the two "
     "is taken off."),
    ("Memory", "The port moves at most the board's sustained bandwidth, waits a fixed latency and "
     "loses cycles between reads and writes."),
)
_NOT_MODELLED = (
    "Place and route: the clock is assumed.",
    "DRAM banks and refresh, beyond the range of the sustained bandwidth.",
)

PREDICTIONS = CountingMethod(
    cycles="Cycles",
    design="that exists in RTL and runs in simulation, but was not placed and routed",
    terms=(*_TERMS, *COMMON_TERMS), not_modelled=(*_NOT_MODELLED, *NEVER_MODELLED),
)
