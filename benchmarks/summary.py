"""Prints results of matmul.py (``benchmarks/results/*.json``) as one Markdown table."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["table"]

OWN = "trilobite"


def _ratio(cells: list[dict]) -> str:
    ratios = [cell["ratio"] for cell in cells]
    mean = statistics.geometric_mean(ratios)
    if len(ratios) == 1:
        return f"{mean:.2f}"
    return f"{mean:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def table(cells: Iterable[dict]) -> str:
    """One row for each type, number of threads and of tokens; geometric means over the shapes.

    The share is of the read bandwidth for one token, of the VNNI peak for more; a peer's column is
    its time over that of Trilobite.
    """
    rows: dict[tuple, dict[str, list[dict]]] = {}
    for cell in cells:
        row = rows.setdefault((cell["threads"], cell["kind"], cell["N"]), {})
        row.setdefault(cell["contender"], []).append(cell)
    lines = [
        "| threads | type | N | shapes | GMAC/s | share of limit | times as fast as |",
        "|---|---|---|---|---|---|---|",
    ]
    for (threads, kind, N), contenders in rows.items():
        own = contenders[OWN]
        rate = statistics.geometric_mean(cell["gmac_per_s"] for cell in own)
        share = statistics.geometric_mean(cell["share_of_limit"] for cell in own)
        peers = "; ".join(
            f"{name} {_ratio(found)}" for name, found in contenders.items() if name != OWN
        )
        lines.append(
            f"| {threads} | {kind} | {N} | {len(own)} | {rate:.0f} | {share:.0%} | {peers} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print one table of all the files on the command line."""
    cells = [cell for path in sys.argv[1:] for cell in json.loads(Path(path).read_text())["cells"]]
    print(table(cells))


if __name__ == "__main__":
    main()
