"""How figures are calculated, in words: by formulas, or by the cycle model of the RTL."""

from __future__ import annotations

__all__ = ["LEAD", "METHOD", "NOT_MODELLED"]

_FORMULA = (
    ("Time of an operator", "start-up + max(compute, memory), plus what does not overlap of the "
     "shorter. Operators follow one another; nothing of one overlaps with the next."),
    ("Compute", "Ternary matrices: cycles of the table-lookup engine, from RTL simulation or from "
     "the formula that the simulation confirms, at the assumed clock. Attention and LM head: MACs "
     "over INT8 lanes. Everything elementwise: passes over vector lanes."),
    ("Memory", "Bytes counted from the layout in DRAM, over the sustained bandwidth. In prefill a "
     "tile of weights stays on the chip while all tokens of the prompt pass."),
    ("Energy", "Idle board and clocked fabric by time; DRAM by bits; arithmetic by operations."),
    ("Ranges", "Low and high take every constant at its best or at its worst together, so the true "
     "value lies well inside if the constants' ranges hold."),
)
_NOT_IN_FORMULAS = (
    "Place and route: the clock is assumed, and the LUT and FF of a complete accelerator are not "
    "known yet.",
    "DRAM banks and refresh, beyond the range of the sustained bandwidth.",
    "Prefetch of the next operator's weights, which would hide start-up and short operators.",
    "Loading the bitstream and the model; tokenizing the prompt.",
    "Throttling: power is taken as independent of temperature.",
)
_MODEL = (
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
    _FORMULA[3], _FORMULA[4],
)
_NOT_IN_MODEL = (
    "Place and route: the clock is assumed.",
    "DRAM banks and refresh, beyond the range of the sustained bandwidth.",
    *_NOT_IN_FORMULAS[3:],
)

LEAD = {"formula": "Cycles of the ternary matrices", "model": "Cycles"}
METHOD = {"formula": _FORMULA, "model": _MODEL}
NOT_MODELLED = {"formula": _NOT_IN_FORMULAS, "model": _NOT_IN_MODEL}
