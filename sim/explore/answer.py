"""What the search found, as a sentence."""

from __future__ import annotations

import math

from ..report.numbers import digits, percent
from .perplexity import Perplexities
from .search import Found, Limits, Result

__all__ = ["answer", "engine_name"]

_WORDS = {
    "rate": "fastest decode", "first-token": "shortest time to the first token",
    "energy": "least energy per token", "lut": "fewest LUT", "perplexity": "lowest perplexity",
}


def answer(
    result: Result, limits: Limits, what: str, model: str, devices: list[str],
    perplexities: Perplexities,
) -> str:
    """The best design in ``what`` (of ``BEST``) within ``limits``, or why there is none."""
    asked = f"{_within(limits)} of {' or '.join(devices)} for {model}"
    best = result.best(what)
    if best is None:
        return (
            f"No design {asked}: of {result.counts['points']:,} designs "
            f"{result.counts['within_power']:,} keep the power (the least is "
            f"{result.smallest_watts:.2f} W), {result.counts['within_lut']:,} the LUT and DSP (the "
            f"smallest takes {percent(result.smallest_share)} of the LUT, the one with the fewest "
            f"DSP {percent(result.smallest_dsp)} of them) and "
            f"{result.counts['within_pause']:,} the pause."
        )
    design = best.design
    return (
        f"The {_WORDS[what]} {asked}: {design.format} weights on {engine_name(best)} with "
        f"{design.lanes} lanes around it at {design.mhz:g} MHz on the {design.device}, "
        f"{design.urams} URAM of weights, {design.policy} prefill, int{design.kv_bits} keys and "
        f"values: {digits(best.tokens_per_second)} tokens/s, first token after "
        f"{digits(best.first_token)} s, {digits(best.joules_per_token)} J/token, "
        f"{digits(best.watts)} W, {best.lut:,.0f} LUT ({percent(best.lut_share)}), perplexity "
        f"{best.perplexity:.2f} (measured with {perplexities.model})."
    )


def engine_name(found: Found) -> str:
    """``lookup 3x8x16`` (group, tables, columns), or ``array 8x16`` (rows, lanes)."""
    kind = "lookup" if found.design.format == "ternary" else "array"
    return f"{kind} {'x'.join(map(str, found.design.engine.values()))}"


def _within(limits: Limits) -> str:
    """The limits in words."""
    parts = []
    if math.isfinite(limits.watts):
        parts.append(f"under {limits.watts:g} W")
    if math.isfinite(limits.pause):
        parts.append(f"pausing others for at most {limits.pause:g} s")
    parts.append(f"within {percent(limits.lut_share)} of the LUT")
    return " and ".join(parts)
