"""Quantizes a model by each method and measures its perplexity.

Its table is in docs/explanation/quantization.md.

    python benchmarks/quality.py                     # demo-llama, its held-out modules: minutes
    python benchmarks/quality.py --only int2 --seeds 0 1 2

Each row is measured in a process of its own and kept as a JSON file in ``--rows``: after a kill the
same command goes on with the next one. Time is CPU time of quantization, calibration included, and
memory the largest resident set until its end; the perplexity is what ``trilobite evaluate`` prints.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import trilobite
from trilobite.quant.methods import METHODS

ROWS: tuple[dict[str, Any], ...] = (
    {"format": "float"},
    {"format": "int8"},
    {"format": "fp8"},
    {"format": "nvfp4"},
    {"format": "mxfp4"},
    {"format": "int4"},
    {"format": "int4", "method": "awq"},
    {"format": "int4", "method": "gptq"},
    {"format": "int4,group_size=32"},
    {"format": "int4,group_size=32", "method": "gptq"},
    {"format": "int4-fp8"},
    {"format": "int4-fp8", "method": "cas"},
    {"format": "int4-fp8,tensor_scale=fireq"},
    {"format": "int4-fp8,tensor_scale=fireq", "method": "cas"},
    {"format": "int3"},
    {"format": "int3", "method": "awq"},
    {"format": "int3", "method": "gptq"},
    {"format": "hlq3"},
    {"format": "hlq3", "method": "gptq"},
    {"format": "int2"},
    {"format": "int2", "method": "awq"},
    {"format": "int2", "method": "gptq"},
    {"format": "int2,group_size=32"},
    {"format": "int2,group_size=32", "method": "gptq"},
    {"format": "hlq2"},
    {"format": "hlq2", "method": "gptq"},
    {"format": "ternary-planes"},
    {"format": "ternary-planes", "method": "gptq"},
    {"format": "ternary-group"},
    {"format": "ternary-group", "method": "awq"},
    {"format": "ternary-group", "method": "itf"},
    {"format": "ternary"},
    {"format": "float", "kv": "int8"},
    {"format": "float", "kv": "fp8"},
    {"format": "float", "kv": "int4"},
)
HEAD = (
    "| format | group | method | bits per linear weight | perplexity | CPU time | peak memory |\n"
    "|---|---|---|---|---|---|---|"
)


def measure(source: str, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """What one row says; perplexity is of the whole held-out text."""
    row = {**options, "kv": options.get("kv", "auto")}
    if _calibrates(options):
        row["seed"] = seed
    with tempfile.TemporaryDirectory() as folder:
        path = source
        if options["format"] != "float":
            path = str(Path(folder) / "quantized")
            row |= _quantize(source, path, options, seed)
        model = trilobite.load(path, kv=row["kv"])
        row["perplexity"] = model.perplexity_of_tokens(model.held_out_tokens()).value
    return row


def _quantize(source: str, path: str, options: dict[str, Any], seed: int) -> dict[str, Any]:
    began = time.process_time()
    given = {name: value for name, value in options.items() if name != "kv"}
    if _calibrates(options):
        given["calibration"] = trilobite.calibration(source, seed=seed)
    manifest = trilobite.quantize(source, path, **given)
    return {
        "seconds": time.process_time() - began,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "bits": manifest.totals.linear_bits_per_weight,
        "group_size": manifest.format.get("group_size", "-"),
        "method": manifest.method,
    }


def _calibrates(options: dict[str, Any]) -> bool:
    """Whether the row's method draws calibration text."""
    return "method" in options and METHODS[options["method"]].calibrates


def name_of(options: dict[str, Any], seed: int) -> str:
    """The name of a row's file."""
    parts = [str(value) for value in options.values()]
    return "_".join([*parts, f"seed{seed}"] if _calibrates(options) else parts)


def line(row: dict[str, Any]) -> str:
    """A row in Markdown."""
    cache = "" if row["kv"] == "auto" else f", keys and values {row['kv']}"
    if row["format"] == "float":
        return f"| not quantized{cache} | - | - | - | {row['perplexity']:.2f} | - | - |"
    name, *options = row["format"].split(",")
    scale = ", fireq" if "tensor_scale=fireq" in options else ""
    method = f"{row['method']}, seed {row['seed']}" if "seed" in row else row["method"]
    return (
        f"| {name}{scale}{cache} | {row['group_size']} | {method} | {row['bits']:.3f} "
        f"| {row['perplexity']:.2f} | {row['seconds']:.0f} s | {row['peak_bytes'] / 1e6:.0f} MB |"
    )


def rows(source: str, only: list[str], seeds: list[int], kept: Path) -> Iterator[dict[str, Any]]:
    """All rows: those that ``kept`` holds, and the others as they are measured."""
    kept.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for options in ROWS:
            if only and options["format"] not in only:
                continue
            for seed in seeds if _calibrates(options) else seeds[:1]:
                file = kept / f"{name_of(options, seed)}.json"
                if not file.exists():
                    row = pool.submit(measure, source, options, seed).result()
                    part = file.with_suffix(".part")
                    part.write_text(json.dumps(row, indent=1))
                    part.rename(file)
                yield json.loads(file.read_text())


def main() -> None:
    """Print line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo-llama")
    parser.add_argument("--only", nargs="+", default=[], metavar="FORMAT")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rows", type=Path, help="where rows are kept (build/quality/MODEL)")
    arguments = parser.parse_args()
    kept = arguments.rows or Path("build/quality") / Path(arguments.model).name
    print(HEAD, flush=True)
    for row in rows(arguments.model, arguments.only, arguments.seeds, kept):
        print(line(row), flush=True)


if __name__ == "__main__":
    main()
