"""What the KV260's configuration takes and how fast it can be, as tables for ``summary.py``.

``trilobite synth --timing --device kv260 --json benchmarks/results/kv260-synthesis.json`` writes
what they are made of.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["GOALS", "clock_table", "resource_table"]

COLUMNS = ("LUT", "LUTRAM", "FF", "CARRY4", "DSP", "BRAM36", "URAM")
# Of the whole configuration, at most.
GOALS = {"LUT": 85_000, "DSP": 1_000, "BRAM36": 130, "URAM": 60}


def resource_table(found: dict[str, Any]) -> str:
    """What each block takes, the largest first, their sum, and the sum beside device and goals."""
    lines = [f"| block | {' | '.join(COLUMNS)} |", "|---" + "|--:" * len(COLUMNS) + "|"]
    for block in sorted(found["blocks"], key=lambda block: -block["resources"]["LUT"]):
        lines.append(_row(f"`{block['block']}`", block["resources"]))
    lines += [_row("**sum**", found["total"]), "", "| | sum | device | goal |", "|---|--:|--:|--:|"]
    for name, goal in GOALS.items():
        used, available = found["total"][name], found["available"][name]
        verdict = "met" if used <= goal else "missed"
        lines.append(f"| {name} | {used:,.7g} | {available:,} | {goal:,}: {verdict} |")
    return "\n".join(lines)


def clock_table(found: dict[str, Any]) -> str:
    """The clock that each block can have, and the way of its slowest path; the whole comes last."""
    lines = ["| block | levels | MHz, nominal (optimistic to pessimistic) | slowest path |",
             "|---|--:|---|---|"]
    for block in found["timing"]:
        mhz = {corner: f"{value:.0f}" for corner, value in block["mhz"].items()}
        path = block["paths"][0]
        clocks = f"{mhz['nominal']} ({mhz['optimistic']} to {mhz['pessimistic']})"
        lines.append(f"| `{block['block']}` | {block['levels']} | {clocks} | "
                     f"{_signal(path['start'])} to {_signal(path['end'])} |")
    return "\n".join(lines)


def _signal(name: str) -> str:
    """A signal's name in the source; what a tool made up has none."""
    own = re.sub(r"\.box\b|\$\d+(?=\[|$)", "", name)
    return "a DSP block" if "$" in own else f"`{own}`"


def _row(name: str, resources: dict[str, float]) -> str:
    return f"| {name} | {' | '.join(f'{resources[column]:,.7g}' for column in COLUMNS)} |"
