"""Times the linear of every number format beside other libraries, in one run.

A call is timed as its user makes it: float32 in, float32 out, quantization of the activations and
building of tables included. With one token, calls go round copies of the weight that make up
``--working-set`` MB, so that weights come from memory, as in decoding. Contenders take turns in
every round, each after the threads of the one before have gone to sleep; a round's time is that of
its fastest pass (timing.py), a cell the median over the rounds, a ratio the median of the rounds'
ratios. Shapes are KxM. Types that have peers in common share a round.

    python benchmarks/matmul.py --types ternary16,int4 --shapes 4096x4096 --n 1,128 --json out.json
    python benchmarks/matmul.py --types ternary2 --isa avx2 --bitnet-cpp FOLDER --peers bitnet.cpp

llama.cpp and onnxruntime come from PyPI (``pip install -e '.[bench]'``); bitnet.cpp and
ik_llama.cpp are compared with where the user has built them, with shared libraries. ``--isa avx2``
compiles Trilobite's kernels for this CPU without AVX-512, by NUMBA_CPU_FEATURES; it does not reach
into other libraries, so that a peer must have been built that way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numba
import numpy as np
from bitnet_cpp import BitnetCpp
from contenders import FORMATS, LIBRARIES, Contender, Peers, own
from ggml import ik_library
from limits import read_bandwidth, vnni_peak
from machine import ISAS, environment, machine
from timing import settle
from weights import weight_of

SHAPES = "1536x1536,1536x4096,4096x1536,4096x4096,4096x11008,2560x6912"
LARGEST_ERROR = 0.2   # of a peer's output, relative: it multiplies with the same weight
OWN = "trilobite"


@dataclass(frozen=True)
class Cell:
    """One contender's result; ``ratio`` is its time over that of ``kind``'s own kernel.

    ``rounds_us`` are the rounds' microseconds for a call; ``microseconds`` is their median.
    """

    kind: str
    contender: str
    K: int
    M: int
    N: int
    threads: int
    isa: str
    microseconds: float
    gmac_per_s: float
    weight_gb_per_s: float
    ratio: float
    rounds_us: list[float]

    def share_of_limit(self, limits: Limits) -> float | None:
        """The share of the read bandwidth for one token, else of the VNNI peak if there is one."""
        if self.N == 1:
            return self.weight_gb_per_s / limits.read_gb_per_s
        return self.gmac_per_s / limits.vnni_gmac_per_s if limits.vnni_gmac_per_s else None


@dataclass
class Limits:
    """The most that the machine gave in this run; measured beside every shape, for it varies."""

    read_gb_per_s: float = 0
    vnni_gmac_per_s: float = 0

    def measure(self, threads: int) -> None:
        """Measure again; the larger values stay."""
        self.read_gb_per_s = max(self.read_gb_per_s, read_bandwidth(threads))
        self.vnni_gmac_per_s = max(self.vnni_gmac_per_s, vnni_peak(threads))
        settle()


@dataclass
class Group:
    """The contenders of types that multiply with the same weight [M, K].

    The own ones are named by their type.
    """

    weight: np.ndarray
    own: dict[str, Contender]
    peers: dict[str, Contender]
    peers_of: dict[str, list[str]] = field(default_factory=dict)

    def all(self) -> dict[str, Contender]:
        """Every contender by its name, Trilobite's first."""
        return self.own | self.peers

    def close(self) -> None:
        """Give the memory back."""
        for contender in self.all().values():
            contender.close()


def make_group(kinds: list[str], K: int, M: int, peers: Peers) -> Group:
    """All contenders of ``kinds``, which share a weight."""
    weight = weight_of(kinds[0], K, M)
    peers_of = {kind: peers.names(kind, M, K) for kind in kinds}
    names = dict.fromkeys(name for kind in kinds for name in peers_of[kind])
    return Group(
        weight,
        {kind: own(kind, weight, peers.working_set) for kind in kinds},
        {name: peers.make(name, kinds[0], weight) for name in names},
        peers_of,
    )


def measure(group: Group, N: int, arguments: argparse.Namespace) -> Iterator[Cell]:
    """The cells of a group and a number of tokens; of each type, Trilobite first."""
    M, K = group.weight.shape
    x = np.random.default_rng(1).standard_normal((N, K), np.float32)
    contenders = group.all()
    most = sys.maxsize if N == 1 else 1
    exact = x @ group.weight.T
    for name, contender in contenders.items():
        check(f"{name}, {K}x{M}, N = {N}", contender.output(x, most), exact)
    settle()
    rounds: list[dict[str, float]] = []
    for turn in range(arguments.rounds):
        names = list(contenders) if turn % 2 == 0 else list(reversed(contenders))
        rounds.append({name: contenders[name].best(arguments.seconds) for name in names})
    for kind in group.own:
        for name in [kind, *group.peers_of[kind]]:
            yield cell_of(kind, name, (K, M, N), contenders[name].nbytes, rounds, arguments)


def cell_of(
    kind: str, name: str, KMN: tuple[int, int, int], nbytes: int,
    rounds: list[dict[str, float]], arguments: argparse.Namespace,
) -> Cell:
    """The cell of contender ``name`` from the seconds of all contenders in every round."""
    K, M, N = KMN
    times = [times[name] for times in rounds]
    seconds = statistics.median(times)
    return Cell(
        kind, OWN if name == kind else name, K, M, N, arguments.threads, arguments.isa,
        microseconds=seconds * 1e6,
        gmac_per_s=K * M * N / seconds / 1e9,
        weight_gb_per_s=nbytes / seconds / 1e9,
        ratio=statistics.median(times[name] / times[kind] for times in rounds),
        rounds_us=[round(time * 1e6, 2) for time in times],
    )


def check(what: str, y: np.ndarray, exact: np.ndarray) -> None:
    """Stop if an output is not near ``exact``: its contender did not do the work."""
    error = np.linalg.norm(y - exact) / np.linalg.norm(exact)
    if not error <= LARGEST_ERROR:
        sys.exit(f"{what}: the output is off by {error:.0%}")


def groups(kinds: list[str]) -> list[list[str]]:
    """The types that multiply with the same weight, together."""
    found: dict[bool, list[str]] = {}
    for kind in kinds:
        found.setdefault(kind.startswith("ternary"), []).append(kind)
    return list(found.values())


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure everything with one number of threads, printing as it goes."""
    numba.set_num_threads(arguments.threads)
    libraries = tuple(arguments.peers.split(","))
    places = arguments.bitnet_cpp, arguments.ik_llama
    peers = Peers(libraries, arguments.threads, arguments.working_set * 1e6, *places)
    limits = Limits()
    print(f"{'type':<11}{'contender':<25}{'K x M':>12}{'N':>5}{'us':>11}{'GMAC/s':>8}"
          f"{'GB/s':>7}{'ratio':>7}")
    cells = []
    for shape in arguments.shapes.split(","):
        K, M = map(int, shape.split("x"))
        for kinds in groups(arguments.types.split(",")):
            group = make_group(kinds, K, M, peers)
            limits.measure(arguments.threads)
            for N in map(int, arguments.n.split(",")):
                for cell in measure(group, N, arguments):
                    cells.append(cell)
                    print(f"{cell.kind:<11}{cell.contender:<25}{shape:>12}{N:>5}"
                          f"{cell.microseconds:>11.1f}{cell.gmac_per_s:>8.1f}"
                          f"{cell.weight_gb_per_s:>7.1f}{cell.ratio:>7.2f}", flush=True)
            group.close()
    limits.measure(arguments.threads)
    print(f"{arguments.threads} thread(s), limits: {limits}")
    described = [asdict(cell) | {"share_of_limit": cell.share_of_limit(limits)} for cell in cells]
    measured = {"threads": arguments.threads, "isa": arguments.isa, **asdict(limits)}
    return {"machine": machine(), "limits": [measured], "cells": described}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--types", default=",".join(FORMATS), help="comma-separated")
    parser.add_argument("--shapes", default=SHAPES, help="KxM, comma-separated")
    parser.add_argument("--n", default="1,32,128,512", help="tokens, comma-separated")
    parser.add_argument("--threads", default="1", help="comma-separated")
    parser.add_argument("--peers", default=",".join(LIBRARIES), help="comma-separated")
    parser.add_argument("--bitnet-cpp", type=BitnetCpp, metavar="FOLDER", help="of a built one")
    parser.add_argument("--ik-llama", type=ik_library, metavar="FOLDER", help="of a built one")
    parser.add_argument("--isa", choices=ISAS, default="host", help="for Trilobite and numpy")
    parser.add_argument("--working-set", type=float, default=160, metavar="MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.15, help="for a contender in a round")
    parser.add_argument("--json", type=Path, help="also write the machine and the cells here")
    try:
        arguments = parser.parse_args()
    except FileNotFoundError as error:
        parser.error(str(error))
    for what, text, known in (
        ("type", arguments.types, FORMATS), ("peer", arguments.peers, LIBRARIES)
    ):
        unknown = set(text.split(",")) - set(known)
        if unknown:
            parser.error(f"no such {what}: {', '.join(sorted(unknown))}; "
                         f"there are {', '.join(known)}")
    return arguments


def in_processes(arguments: argparse.Namespace) -> dict[str, object]:
    """Run this script once for each number of threads, each with its ``environment``."""
    result: dict[str, object] = {"machine": {}, "limits": [], "cells": []}
    for count in arguments.threads.split(","):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.json"
            given = [*sys.argv, "--threads", count, "--json", str(part)]
            variables = os.environ | environment(int(count), arguments.isa)
            done = subprocess.run([sys.executable, *given], env=variables, check=False)
            if done.returncode:   # it has said why
                sys.exit(done.returncode)
            measured = json.loads(part.read_text())
        result["machine"] = measured["machine"]
        for name in ("limits", "cells"):
            result[name] += measured[name]
    return result


def written(result: dict[str, object]) -> str:
    """``result`` as JSON with a line for each item of a list."""
    parts = []
    for name, value in result.items():
        if isinstance(value, list):
            lines = ",\n  ".join(json.dumps(item) for item in value)
            parts.append(f' "{name}": [\n  {lines}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Measure, print, and write JSON if asked."""
    arguments = parse()
    counts = arguments.threads.split(",")
    wanted = environment(int(counts[0]), arguments.isa)
    if len(counts) == 1 and all(os.environ.get(name) == text for name, text in wanted.items()):
        arguments.threads = int(counts[0])
        result = run(arguments)
    else:
        result = in_processes(arguments)
    if arguments.json:
        arguments.json.write_text(written(result))


if __name__ == "__main__":
    main()
