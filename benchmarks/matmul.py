"""Times the linear of every number format beside other libraries, in one run.

A call is timed as its user makes it: float32 in, float32 out, quantization of the activations and
building of tables included. With one token, calls go round copies of the weight that make up
``--working-set`` MB, so that weights come from memory, as in decoding. Contenders take turns in
every round; a round's time is its best call, a cell the median over the rounds, a ratio the median
of the rounds' ratios. Shapes are KxM.

    python benchmarks/matmul.py --types ternary16,int4 --shapes 4096x4096 --n 1,128 --json out.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import ggml
import numba
import numpy as np
import onnx_matmul
from limits import read_bandwidth, vnni_peak

from trilobite.quant.formats import Codes, Format, Fp8, Int4, Int8, PackedWeight, Ternary
from trilobite.runtime.kernels.choice import chosen_kernel
from trilobite.runtime.linear import make_linear

Calls = tuple[list[Callable[[], object]], int]

FORMATS: dict[str, Format] = {
    "ternary16": Ternary("base3"),
    "ternary2": Ternary("2bit"),
    "int4": Int4(32),
    "int4g128": Int4(128),
    "int8": Int8(),
    "fp8": Fp8(),
}
_TERNARY = ["llama.cpp TQ1_0", "llama.cpp TQ2_0", "onnxruntime 2 bit g128", "onnxruntime int8"]
_INT8 = ["llama.cpp Q8_0", "onnxruntime 8 bit g128", "onnxruntime int8"]
PEERS = {
    "ternary16": _TERNARY,
    "ternary2": _TERNARY,
    "int4": ["llama.cpp Q4_0", "llama.cpp Q4_K", "onnxruntime 4 bit g32"],
    "int4g128": ["llama.cpp Q4_0", "llama.cpp Q4_K", "onnxruntime 4 bit g128"],
    "int8": _INT8,
    "fp8": _INT8,
}
REPACKED = ("Q4_0", "Q4_K")
SHAPES = "1536x1536,1536x4096,4096x1536,4096x4096,4096x11008,2560x6912"
TERNARY_SCALE = np.float32(0.02)
MOST_SESSIONS = 48   # of onnxruntime; more would take too long to make
LARGEST_ERROR = 0.2   # of a peer's output, relative: it multiplies with the same weight
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Cell:
    """One contender's result; ``ratio`` is its time over that of ``kind``'s own kernel."""

    kind: str
    contender: str
    K: int
    M: int
    N: int
    threads: int
    microseconds: float
    gmac_per_s: float
    weight_gb_per_s: float
    ratio: float

    def share_of_limit(self, limits: Limits) -> float:
        """Of the read bandwidth for one token, else of the VNNI peak; NaN where there is none."""
        if self.N == 1:
            return self.weight_gb_per_s / limits.read_gb_per_s
        return self.gmac_per_s / limits.vnni_gmac_per_s if limits.vnni_gmac_per_s else math.nan


@dataclass
class Limits:
    """The most that the machine gave in this run; measured beside every cell, for it varies."""

    read_gb_per_s: float = 0
    vnni_gmac_per_s: float = 0

    def measure(self, threads: int) -> None:
        """Measure again; the larger values stay."""
        self.read_gb_per_s = max(self.read_gb_per_s, read_bandwidth(threads))
        self.vnni_gmac_per_s = max(self.vnni_gmac_per_s, vnni_peak(threads))


def weight_of(kind: str, K: int, M: int) -> np.ndarray:
    """Float32 [M, K]: normal numbers, or ternary ones, which every peer can hold."""
    rng = np.random.default_rng(0)
    if kind.startswith("ternary"):
        return rng.integers(-1, 2, (M, K)).astype(np.float32) * TERNARY_SCALE
    return rng.standard_normal((M, K)).astype(np.float32) * np.float32(0.02)


def quantized(kind: str, weight: np.ndarray) -> PackedWeight:
    """``weight`` in one of ``FORMATS``; a ternary one without loss."""
    if not kind.startswith("ternary"):
        return FORMATS[kind].quantize(weight)
    codes = Codes(np.sign(weight).astype(np.int8), np.full((1, 1), TERNARY_SCALE))
    return PackedWeight(FORMATS[kind], weight.shape, FORMATS[kind].pack(codes))


def own_calls(kind: str, weight: np.ndarray, x: np.ndarray, working_set: float) -> Calls:
    """Calls of Trilobite's linear; with one token, on copies that make up ``working_set`` bytes."""
    packed = quantized(kind, weight)
    linears = [make_linear(packed, None)]
    nbytes = linears[0].nbytes
    for _ in range(copies_of(nbytes, x, working_set) - 1):
        tensors = {suffix: tensor.copy() for suffix, tensor in packed.tensors.items()}
        linears.append(make_linear(PackedWeight(packed.format, packed.shape, tensors), None))
    return [lambda linear=linear: linear(x) for linear in linears], nbytes


def peer_calls(
    name: str, weight: np.ndarray, x: np.ndarray, threads: int, working_set: float
) -> Calls:
    """``own_calls`` of a peer, by its name in ``PEERS``, or of numpy in float32."""
    M, K = weight.shape
    library, _, variant = name.partition(" ")
    if library == "numpy":
        count = copies_of(weight.nbytes, x, working_set)
        return [lambda w=w: x @ w.T for w in (weight.copy() for _ in range(count))], weight.nbytes
    if library == "llama.cpp":
        count = copies_of(M * K // 2, x, working_set)
        return ggml.matmuls(variant, variant in REPACKED, weight, x, threads, count)
    bits, block = (8, None) if variant == "int8" else (int(variant[0]), int(variant.split("g")[1]))
    count = min(copies_of(M * K * bits // 8, x, working_set), MOST_SESSIONS)
    return onnx_matmul.matmuls(bits, block, weight, x, threads, count)


def copies_of(nbytes: int, x: np.ndarray, working_set: float) -> int:
    """How many weights of ``nbytes`` to go round: several for one token, to leave the caches."""
    return max(1, round(working_set / nbytes)) if len(x) == 1 else 1


def best_of(calls: list[Callable[[], object]], seconds: float) -> float:
    """The shortest call, going round ``calls`` at least once, and three times in all."""
    best, count, end = math.inf, 0, time.perf_counter() + seconds
    while count < max(3, len(calls)) or time.perf_counter() < end:
        start = time.perf_counter()
        calls[count % len(calls)]()
        best = min(best, time.perf_counter() - start)
        count += 1
    return best


def measure(
    kind: str, K: int, M: int, N: int, peers: list[str], arguments: argparse.Namespace
) -> Iterator[Cell]:
    """The cells of one type, shape and number of tokens; Trilobite first."""
    weight = weight_of(kind, K, M)
    x = np.random.default_rng(1).standard_normal((N, K)).astype(np.float32)
    threads, working_set = arguments.threads, arguments.working_set * 1e6
    contenders = {"trilobite": own_calls(kind, weight, x, working_set)}
    contenders |= {name: peer_calls(name, weight, x, threads, working_set) for name in peers}
    exact = x @ weight.T
    for name, (calls, _) in contenders.items():
        y = calls[0]()
        y = y if isinstance(y, np.ndarray) else y.numpy()
        error = np.linalg.norm(y - exact) / np.linalg.norm(exact)
        if error > LARGEST_ERROR:
            sys.exit(f"{name}, {kind}, {K}x{M}, N = {N}: the output is off by {error:.0%}")
    rounds = [
        {name: best_of(calls, arguments.seconds) for name, (calls, _) in contenders.items()}
        for _ in range(arguments.rounds)
    ]
    for name, (_, nbytes) in contenders.items():
        seconds = statistics.median(times[name] for times in rounds)
        rate, read = K * M * N / seconds / 1e9, nbytes / seconds / 1e9
        ratio = statistics.median(times[name] / times["trilobite"] for times in rounds)
        yield Cell(kind, name, K, M, N, threads, seconds * 1e6, rate, read, ratio)


def wanted_peers(kind: str, K: int, libraries: list[str]) -> list[str]:
    """The peers of a type among ``libraries``, where they are installed and take such a K."""
    names = [name for name in ["numpy float32", *PEERS[kind]] if name.split()[0] in libraries]
    if not ggml.available() or K % 256:
        names = [name for name in names if not name.startswith("llama.cpp")]
    if not onnx_matmul.available():
        names = [name for name in names if not name.startswith("onnxruntime")]
    return names


def machine() -> dict[str, object]:
    """What the results depend on."""
    cpu = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        cpu = next((li.split(":")[1].strip() for li in lines if "model name" in li), cpu)
    return {
        "cpu": cpu,
        "llvm_cpu": numba.core.codegen.ll.get_host_cpu_name(),
        "cores": os.cpu_count(),
        "kernel": chosen_kernel(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
    }


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure everything with one number of threads, printing as it goes."""
    numba.set_num_threads(arguments.threads)
    limits = Limits()
    print(f"{'type':<11}{'contender':<25}{'K x M':>12}{'N':>5}{'us':>11}{'GMAC/s':>8}"
          f"{'GB/s':>7}{'ratio':>7}")
    cells = []
    for shape in arguments.shapes.split(","):
        K, M = map(int, shape.split("x"))
        for kind in arguments.types.split(","):
            peers = wanted_peers(kind, K, arguments.peers.split(","))
            for N in map(int, arguments.n.split(",")):
                limits.measure(arguments.threads)
                for cell in measure(kind, K, M, N, peers, arguments):
                    cells.append(cell)
                    print(f"{kind:<11}{cell.contender:<25}{shape:>12}{N:>5}"
                          f"{cell.microseconds:>11.1f}{cell.gmac_per_s:>8.1f}"
                          f"{cell.weight_gb_per_s:>7.1f}{cell.ratio:>7.2f}", flush=True)
    print(f"{arguments.threads} thread(s), limits: {limits}")
    described = [asdict(cell) | {"share_of_limit": cell.share_of_limit(limits)} for cell in cells]
    return {"limits": [{"threads": arguments.threads, **asdict(limits)}], "cells": described}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", default=",".join(FORMATS), help="comma-separated")
    parser.add_argument("--shapes", default=SHAPES, help="KxM, comma-separated")
    parser.add_argument("--n", default="1,32,128,512", help="tokens, comma-separated")
    parser.add_argument("--threads", default="1", help="comma-separated")
    parser.add_argument("--peers", default="llama.cpp,onnxruntime,numpy", help="comma-separated")
    parser.add_argument("--working-set", type=float, default=160, metavar="MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.15, help="for a contender in a round")
    parser.add_argument("--json", type=Path, help="also write the machine and the cells here")
    arguments = parser.parse_args()
    unknown = set(arguments.types.split(",")) - set(FORMATS)
    if unknown:
        parser.error(f"no such type: {', '.join(sorted(unknown))}; there are {', '.join(FORMATS)}")
    return arguments


def in_processes(counts: list[str]) -> dict[str, object]:
    """Run this script once for each number of threads: BLAS reads it when it is loaded."""
    result: dict[str, list] = {"limits": [], "cells": []}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.json"
            environment = os.environ | dict.fromkeys(BLAS_THREADS, count)
            given = [*sys.argv, "--threads", count, "--json", str(part)]
            subprocess.run([sys.executable, *given], env=environment, check=True)
            measured = json.loads(part.read_text())
        result = {key: result[key] + measured[key] for key in result}
    return result


def main() -> None:
    """Measure, print, and write JSON if asked."""
    arguments = parse()
    counts = arguments.threads.split(",")
    if len(counts) == 1 and all(os.environ.get(name) == counts[0] for name in BLAS_THREADS):
        arguments.threads = int(counts[0])
        result = run(arguments)
    else:
        result = in_processes(counts)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine()} | result, indent=1) + "\n")


if __name__ == "__main__":
    main()
