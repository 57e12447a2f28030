"""Writes the tables of ``benchmarks/results/*.json`` into documents, so that nobody types a number.

    python benchmarks/summary.py                                     # print all tables
    python benchmarks/summary.py docs/explanation/{benchmarks,results}.md   # rewrite their blocks

A block is what stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``, with NAME a
key of ``BLOCKS``.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from synthesis_table import clock_table, resource_table

__all__ = ["BLOCKS", "read", "rewritten"]

RESULTS = Path(__file__).parent / "results"
OWN = "trilobite"
INT8 = "onnxruntime int8"      # a tensor with one scale, beside the low-bit peers
FLOAT32 = "numpy float32"
LOOKUP = "trilobite lookup"    # its own other kernel
FEW = (2, 4, 8, 16)            # numbers of tokens that have a table of their own
TYPES = {
    "ternary16": "ternary, 1.6 bits",
    "ternary2": "ternary, 2 bits",
    "ternaryg128": "ternary, groups of 128",
    "int4": "INT4, groups of 32",
    "int4g128": "INT4, groups of 128",
    "int8": "INT8",
    "fp8": "FP8",
}
MODELS = {
    "bitnet-0.73b": "BitNet 0.73B", "bitnet-2b": "BitNet 2B-4T", "llama-2-7b": "Llama-2-7B",
}
_BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

Results = dict[str, list[dict]]


def read(paths: Iterable[Path]) -> Results:
    """Machines, limits, cells, models and rates of result files, each a list.

    Raises ``ValueError`` if two files come from different machines, or hold the same result.
    """
    found: Results = {"machine": [], "limits": [], "cells": [], "models": [], "rates": []}
    for path in sorted(paths):
        result = json.loads(path.read_text())
        for name in found:
            given = result.get(name, [])
            found[name] += given if isinstance(given, list) else [given]
    if len({machine["cpu"] for machine in found["machine"]}) > 1:
        raise ValueError("The results come from different machines")
    for name, key in (("cells", _cell_key), ("rates", _rate_key)):
        keys = [key(item) for item in found[name]]
        twice = next((item for item in keys if keys.count(item) > 1), None)
        if twice:
            raise ValueError(f"The results hold {twice} twice")
    return found


def _cell_key(cell: dict) -> tuple:
    names = ("isa", "threads", "kind", "N", "K", "M", "contender")
    return tuple(cell[name] for name in names)


def _rate_key(rate: dict) -> tuple:
    return tuple(rate[name] for name in ("model", "kind", "stage", "tokens", "threads"))


def _rows(cells: list[dict]) -> dict[tuple, dict[str, dict[tuple, dict]]]:
    """Cells by (isa, threads, type, N), then by contender, then by shape."""
    rows: dict[tuple, dict[str, dict[tuple, dict]]] = {}
    for cell in cells:
        place = (cell["isa"], cell["threads"], cell["kind"], cell["N"])
        contenders = rows.setdefault(place, {})
        contenders.setdefault(cell["contender"], {})[cell["K"], cell["M"]] = cell

    def order(place: tuple) -> tuple:
        isa, threads, kind, N = place
        return isa != "host", list(TYPES).index(kind), N, threads

    return {place: rows[place] for place in sorted(rows, key=order)}


def _ratio(ratios: list[float]) -> str:
    """The geometric mean; the smallest and the largest, if there are several."""
    mean = f"{statistics.geometric_mean(ratios):.2f}"
    return mean if len(ratios) == 1 else f"{mean} ({min(ratios):.2f} to {max(ratios):.2f})"


def _first_columns(place: tuple, contenders: dict[str, dict]) -> str:
    """Type, N, threads, rate and share of the limit: geometric means over the shapes."""
    isa, threads, kind, N = place
    own = contenders[OWN].values()
    rate = statistics.geometric_mean(cell["gmac_per_s"] for cell in own)
    shares = [cell["share_of_limit"] for cell in own]
    share = "-" if None in shares else f"{statistics.geometric_mean(shares):.0%}"
    return f"| {_type(isa, kind)} | {N} | {threads} | {rate:.0f} | {share} |"


def _type(isa: str, kind: str) -> str:
    return TYPES[kind] if isa == "host" else f"{TYPES[kind]}, {isa.upper()} only"


def matmul(results: Results) -> str:
    """Beside the best low-bit peer of every shape, and beside onnxruntime's dynamic int8."""
    lines = [
        "| type | N | threads | GMAC/s | share | times as fast as the best low-bit peer | "
        "which is | as onnxruntime int8 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for place, contenders in _rows(_not_few(results["cells"])).items():
        best = _best(contenders)
        ratio = _ratio([cell["ratio"] for cell in best]) if best else "-"
        names = ", ".join(dict.fromkeys(cell["contender"] for cell in best)) or "-"
        int8 = [cell["ratio"] for cell in contenders.get(INT8, {}).values()]
        lines.append(
            f"{_first_columns(place, contenders)} {ratio} | {names} | "
            f"{_ratio(int8) if int8 else '-'} |"
        )
    return "\n".join(lines)


def _not_few(cells: list[dict]) -> list[dict]:
    return [cell for cell in cells if cell["N"] not in FEW]


def few_tokens(results: Results) -> str:
    """The table of 1 to 32 tokens, on the shapes on which ``FEW`` were measured.

    A column is GMAC/s, and times as fast as the best low-bit peer and as onnxruntime int8.
    """
    def place(cell: dict) -> tuple:
        return tuple(cell[name] for name in ("isa", "threads", "kind", "K", "M"))

    measured = {place(cell) for cell in results["cells"] if cell["N"] in FEW}
    cells = [cell for cell in results["cells"] if place(cell) in measured]
    columns = (1, *FEW, 32)
    found: dict[tuple, dict[int, str]] = {}
    for (isa, threads, kind, N), contenders in _rows(cells).items():
        found.setdefault((isa, threads, kind), {})[N] = _few_cell(contenders)
    lines = [f"| type | threads | {' | '.join(f'N = {N}' for N in columns)} |",
             "|---" * (2 + len(columns)) + "|"]
    for (isa, threads, kind), texts in found.items():
        row = " | ".join(texts.get(N, "-") for N in columns)
        lines.append(f"| {_type(isa, kind)} | {threads} | {row} |")
    return "\n".join(lines)


def _few_cell(contenders: dict[str, dict[tuple, dict]]) -> str:
    rate = statistics.geometric_mean(cell["gmac_per_s"] for cell in contenders[OWN].values())
    ratios = [cell["ratio"] for cell in _best(contenders)]
    int8 = [cell["ratio"] for cell in contenders.get(INT8, {}).values()]
    parts = [f"{statistics.geometric_mean(given):.2f}" for given in (ratios, int8) if given]
    return "; ".join([f"{rate:.0f}", *parts])


def _best(contenders: dict[str, dict[tuple, dict]]) -> list[dict]:
    """The cell of the fastest low-bit peer for every shape."""
    shapes = contenders[OWN]
    names = [name for name in contenders if name not in (OWN, INT8, FLOAT32, LOOKUP)]
    found = [
        [contenders[name][shape] for name in names if shape in contenders[name]] for shape in shapes
    ]
    return [min(cells, key=lambda cell: cell["ratio"]) for cells in found if cells]


def matmul_peers(results: Results) -> str:
    """Beside every contender."""
    rows = _rows(_not_few(results["cells"]))
    lines = [
        "| type | N | threads | GMAC/s | share | times as fast as |", "|---|---|---|---|---|---|"
    ]
    for place, contenders in rows.items():
        peers = "; ".join(
            f"{name} {_ratio([cell['ratio'] for cell in found.values()])}"
            for name, found in contenders.items() if name != OWN
        )
        lines.append(f"{_first_columns(place, contenders)} {peers} |")
    return "\n".join(lines)


def end_to_end(results: Results) -> str:
    """Tokens per second of whole models, beside llama.cpp's."""
    stages = list(dict.fromkeys((rate["stage"], rate["tokens"]) for rate in results["rates"]))
    titles = [
        f"decode after {tokens}" if stage == "decode" else f"prefill of {tokens}"
        for stage, tokens in stages
    ]
    rows: dict[tuple, dict[tuple, dict]] = {}
    for rate in results["rates"]:
        row = rows.setdefault((rate["model"], rate["kind"], rate["threads"]), {})
        row[rate["stage"], rate["tokens"]] = rate
    lines = [
        f"| model | type | threads | {' | '.join(titles)} |", "|---" * (3 + len(stages)) + "|"
    ]
    for (model, kind, threads), row in rows.items():
        cells = " | ".join(_rate(row[stage]) if stage in row else "-" for stage in stages)
        lines.append(f"| {MODELS.get(model, model)} | {TYPES[kind]} | {threads} | {cells} |")
    return "\n".join(lines)


def _rate(rate: dict) -> str:
    text = _tokens(rate["tokens_per_second"])
    if rate["ratio"] is None:
        return text
    theirs = _tokens(rate["llama_tokens_per_second"])
    return f"{text}; {rate['llama_type']} {theirs}: {rate['ratio']:.2f}"


def _tokens(rate: float) -> str:
    return f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"


def machine(results: Results) -> str:
    """The machine, its limits, and the versions of what was compared."""
    facts = max(results["machine"], key=lambda facts: len(facts["features"]))
    limits = [limit for limit in results["limits"] if limit["isa"] == "host"]
    counts = sorted({limit["threads"] for limit in limits})

    def most(name: str) -> str:
        values = [
            max(limit[name] for limit in limits if limit["threads"] == count) for count in counts
        ]
        return " and ".join(f"{value:.0f}" for value in values)

    names = ("numba", "numpy", "llama-cpp-python", "onnxruntime")
    versions = ", ".join(f"{name} {facts[name]}" for name in names if facts.get(name))
    return (
        f"{facts['cpu']} (LLVM's {facts['llvm_cpu']}; {', '.join(facts['features'])}), "
        f"{facts['cores']} virtual cores. With {' and '.join(map(str, counts))} threads it reads "
        f"{most('read_gb_per_s')} GB/s and multiplies {most('vnni_gmac_per_s')} GMAC/s by "
        f"`vpdpbusd`. Python {facts['python']}, {versions}."
    )


def _synthesis() -> dict[str, Any]:
    return json.loads((RESULTS / "kv260-synthesis.json").read_text())


BLOCKS: dict[str, Callable[[Results], str]] = {
    "machine": machine,
    "matmul": matmul,
    "matmul-peers": matmul_peers,
    "few-tokens": few_tokens,
    "end-to-end": end_to_end,
    "kv260-resources": lambda _: resource_table(_synthesis()),
    "kv260-clock": lambda _: clock_table(_synthesis()),
}


def rewritten(text: str, results: Results) -> str:
    """``text`` with new contents in its blocks.

    Raises ``ValueError`` for a block whose name is not in ``BLOCKS``.
    """
    def replace(match: re.Match) -> str:
        start, name, end = match.groups()
        if name not in BLOCKS:
            raise ValueError(f"There is no table {name!r}; there are {', '.join(BLOCKS)}")
        return f"{start}{BLOCKS[name](results)}\n{end}"

    return _BLOCK.sub(replace, text)


def main() -> None:
    """Rewrite the documents on the command line; print all tables if there are none."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", nargs="*", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args()
    results = read(arguments.results.glob("*.json"))
    for document in arguments.documents:
        document.write_text(rewritten(document.read_text(), results))
    if not arguments.documents:
        print("\n\n".join(make(results) for make in BLOCKS.values()))


if __name__ == "__main__":
    main()
