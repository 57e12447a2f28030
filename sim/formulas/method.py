"""How the formulas calculate, in the words of a report."""

from __future__ import annotations

from .cycle_source import CountingMethod

__all__ = ["COMMON_TERMS", "FORMULAS", "NEVER_MODELLED"]

# What holds for every estimate of an accelerator.
COMMON_TERMS = (
    ("Energy", "Idle board and clocked fabric by time; DRAM by bits; arithmetic by operations."),
    ("Ranges", "Low and high take every constant at its best or at its worst together, so the true "
     "value lies well inside if the constants' ranges hold."),
)
NEVER_MODELLED = (
    "Loading the bitstream and the model; tokenizing the prompt.",
    "Throttling: power is taken as independent of temperature.",
)

_TERMS = (
    ("Time of an operator", "start-up + max(compute, memory), plus what does not overlap of the "
     "shorter. Operators follow one another; nothing of one overlaps with the next."),
    ("Compute", "Ternary matrices: cycles of the table-lookup engine, from RTL simulation or from "
     "the formula that the simulation confirms, at the assumed clock. Attention and LM head: MACs "
     "over INT8 lanes. Everything elementwise: passes over vector lanes."),
    ("Memory", "Bytes counted from the layout in DRAM, over the sustained bandwidth. In prefill a "
     "tile of weights stays on the chip while all tokens of the prompt pass."),
)
_NOT_MODELLED = (
    "Place and route: the clock is assumed, and the LUT and FF of a complete accelerator are not "
    "known yet.",
    "DRAM banks and refresh, beyond the range of the sustained bandwidth.",
    "Prefetch of the next operator's weights, which would hide start-up and short operators.",
)

FORMULAS = CountingMethod(
    cycles="Cycles of the ternary matrices",
    design="of which the matmul engine exists in RTL",
    terms=(*_TERMS, *COMMON_TERMS), not_modelled=(*_NOT_MODELLED, *NEVER_MODELLED),
)
