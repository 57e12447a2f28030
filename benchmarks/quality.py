"""Quantizes a model by each method and measures its perplexity: the table of docs/quantization.md.

    python benchmarks/quality.py                     # demo-llama, its held-out modules: minutes
    python benchmarks/quality.py --only int2 --seeds 0 1 2

Time is CPU time of quantization; the perplexity is what ``trilobite evaluate`` prints.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trilobite

ROWS: tuple[dict[str, Any], ...] = (
    {"format": "int8"},
    {"format": "int4"},
    {"format": "int4", "method": "gptq"},
    {"format": "int4", "group_size": 32},
    {"format": "int4", "group_size": 32, "method": "gptq"},
    {"format": "int3"},
    {"format": "int3", "method": "gptq"},
    {"format": "int2"},
    {"format": "int2", "method": "gptq"},
    {"format": "int2", "group_size": 32},
    {"format": "int2", "group_size": 32, "method": "gptq"},
    {"format": "ternary-group"},
    {"format": "ternary-group", "method": "itf"},
    {"format": "ternary"},
)


def measure(source: str, options: dict[str, Any], seed: int, folder: Path) -> str:
    """One line of the table, in Markdown."""
    began = time.process_time()
    if "method" in options:
        options = {**options, "calibration": trilobite.calibration(source, seed=seed)}
    manifest = trilobite.quantize(source, folder, **options, overwrite=True)
    seconds = time.process_time() - began
    model = trilobite.load(folder)
    value = model.perplexity_of_tokens(model.held_out_tokens()).value
    group = options.get("group_size", manifest.format.get("group_size", "-"))
    calibrated = f"{manifest.method}, seed {seed}" if "method" in options else manifest.method
    bits = manifest.totals.linear_bits_per_weight
    return (f"| {options['format']} | {group} | {calibrated} | {bits:.3f} | {value:.2f} "
            f"| {seconds:.0f} s |")


def table(source: str, only: list[str], seeds: list[int]) -> Iterator[str]:
    """All lines."""
    model = trilobite.load(source)
    yield "| format | group | method | bits per linear weight | perplexity | CPU time |"
    yield "|---|---|---|---|---|---|"
    value = model.perplexity_of_tokens(model.held_out_tokens()).value
    yield f"| not quantized | - | - | - | {value:.2f} | - |"
    with tempfile.TemporaryDirectory() as folder:
        for options in ROWS:
            if only and options["format"] not in only:
                continue
            for seed in seeds if "method" in options else seeds[:1]:
                yield measure(source, options, seed, Path(folder) / "quantized")


def main() -> None:
    """Print line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo-llama")
    parser.add_argument("--only", nargs="+", default=[], metavar="FORMAT")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    for line in table(arguments.model, arguments.only, arguments.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
