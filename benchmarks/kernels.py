"""Times the linear of every number format beside numpy's float32 matmul, in one run.

A call is timed as the decoder makes it: float32 in, float32 out, quantization of the activations
and building of tables included. Calls go round several copies of the weight, ``--working-set`` MB
together, so that weights come from memory, as in decoding; ``--working-set 0`` repeats one copy,
which may stay in the cache. Times are medians; the ratio is numpy's time over the kernel's.

    python benchmarks/kernels.py --shapes 4096x4096 2560x6912 --tokens 1 64 --threads 2
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numba
import numpy as np

from trilobite.quant.formats import Format, Fp8, Int4, Int8, Ternary
from trilobite.runtime.linear import Linear, make_linear

FORMATS: dict[str, Format] = {
    "ternary": Ternary(),
    "int4": Int4(128),
    "int4-row": Int4(None),
    "int8": Int8(),
    "fp8": Fp8(),
}
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FEWEST_CALLS = 5


@dataclass(frozen=True)
class Timing:
    """One cell of the table; ``ratio`` is numpy's median time divided by this one."""

    kernel: str
    M: int
    K: int
    tokens: int
    threads: int
    median_us: float
    gmac_per_s: float
    weight_gb_per_s: float
    ratio: float


def median_seconds(call: Callable[[Linear], object], linears: list[Linear], budget: float) -> float:
    """Median time of ``call`` over ``budget`` seconds of calls, going round ``linears``."""
    for linear in linears:
        call(linear)
    times: list[float] = []
    rounds = itertools.cycle(linears)
    end = time.perf_counter() + budget
    while len(times) < FEWEST_CALLS or time.perf_counter() < end:
        linear = next(rounds)
        start = time.perf_counter()
        call(linear)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def copies(linear: Linear, working_set: float) -> list[Linear]:
    """As many copies as make up ``working_set`` bytes, at least one."""
    count = max(1, round(working_set / linear.nbytes))
    return [linear, *(copy.deepcopy(linear) for _ in range(count - 1))]


def measure(M: int, K: int, arguments: argparse.Namespace) -> Iterator[Timing]:
    """All cells of one shape; numpy first."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((M, K)).astype(np.float32)
    linears = {"numpy float32": make_linear(weight, None)}
    linears |= {name: make_linear(FORMATS[name].quantize(weight), None)
                for name in arguments.formats}
    peer: dict[int, float] = {}
    for name, linear in linears.items():
        rotation = copies(linear, arguments.working_set * 1e6)
        for tokens in arguments.tokens:
            x = rng.standard_normal((tokens, K)).astype(np.float32)
            seconds = median_seconds(lambda one, x=x: one(x), rotation, arguments.seconds)
            yield Timing(
                kernel=name,
                M=M,
                K=K,
                tokens=tokens,
                threads=arguments.threads,
                median_us=seconds * 1e6,
                gmac_per_s=M * K * tokens / seconds / 1e9,
                weight_gb_per_s=linear.nbytes / seconds / 1e9,
                ratio=peer.setdefault(tokens, seconds) / seconds,
            )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["4096x4096"], metavar="MxK")
    parser.add_argument("--tokens", nargs="+", type=int, default=[1, 64], metavar="N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--working-set", type=float, default=200, metavar="MB")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each cell")
    parser.add_argument("--json", type=Path, help="also write the cells to this file")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    arguments = parse()
    threads = str(arguments.threads)
    if any(os.environ.get(name) != threads for name in BLAS_THREADS):
        os.environ.update(dict.fromkeys(BLAS_THREADS, threads))   # read when BLAS is loaded
        os.execv(sys.executable, [sys.executable, *sys.argv])
    numba.set_num_threads(arguments.threads)
    timings = []
    print(f"{'kernel':<14}{'M x K':>14}{'N':>6}{'us':>12}{'GMAC/s':>9}{'GB/s':>7}{'ratio':>8}")
    for shape in arguments.shapes:
        M, K = map(int, shape.split("x"))
        for cell in measure(M, K, arguments):
            timings.append(cell)
            print(f"{cell.kernel:<14}{shape:>14}{cell.tokens:>6}{cell.median_us:>12.1f}"
                  f"{cell.gmac_per_s:>9.2f}{cell.weight_gb_per_s:>7.2f}{cell.ratio:>8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cell) for cell in timings], indent=2) + "\n")


if __name__ == "__main__":
    main()
