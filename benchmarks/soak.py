"""Generate, evaluate, estimate and serve in one process, over and over: does anything grow?

    python benchmarks/soak.py --minutes 60

Every round has inputs of its own. What grows between the second and the last third of the time is
named, and the exit code is 1. Kernels are compiled into a cache of the process's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Reading", "growth", "read", "soak"]

_KV = ("int8", "int4", "fp8", "float32")
# Predicted cycles of a step are kept on the disk: of these lengths all are after some rounds.
_PROMPTS, _TOKENS = (1, 100), (2, 200)
# How much more in the last third than in the one before is no growth: weights are given out of
# pieces of 64 MiB, which loading fills and then lets go; objects wait in caches of a fixed size.
_ALLOWED = {"resident": 32 << 20, "files": 0, "threads": 0, "cache": 0, "objects": 500}


@dataclass(frozen=True)
class Reading:
    """The process after ``rounds``: resident bytes, open files, threads, bytes in the cache, and
    objects that Python's collector knows.
    """

    seconds: float
    rounds: int
    resident: int
    files: int
    threads: int
    cache: int
    objects: int


def read(seconds: float, rounds: int, cache: Path) -> Reading:
    """What the process takes now, by Linux's own counts."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Reading(
        seconds, rounds, pages * os.sysconf("SC_PAGE_SIZE"), _entries("/proc/self/fd"),
        _entries("/proc/self/task"),
        sum(path.lstat().st_size for path in cache.rglob("*") if path.is_file()),
        len(gc.get_objects()),
    )


def _entries(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def growth(readings: Sequence[Reading]) -> list[str]:
    """A sentence for each figure whose median grew from the second third to the last."""
    third = len(readings) // 3
    if not third:
        raise ValueError(f"at least 3 readings are needed to see growth, not {len(readings)}")
    sentences = []
    for name, allowed in _ALLOWED.items():
        before, after = (
            statistics.median(getattr(one, name) for one in part)
            for part in (readings[third:-third], readings[-third:])
        )
        if after - before > allowed:
            sentences.append(f"{name} grew from {before:,.0f} to {after:,.0f}")
    return sentences


def soak(
    tasks: Sequence[Callable[[random.Random], Any]], seconds: float, cache: Path,
) -> Iterator[Reading]:
    """Do all ``tasks`` in every round, each with a seed of its own, for ``seconds``."""
    began = time.monotonic()
    rounds = 0
    while (now := time.monotonic() - began) < seconds:
        for task in tasks:
            task(random.Random(rounds))
        rounds += 1
        yield read(now, rounds, cache)


def _tasks(folder: Path) -> list[Callable[[random.Random], Any]]:
    """What a user does with a model, each through Python's interface."""
    import trilobite

    quantized = folder / "model"
    trilobite.quantize("demo-bitnet", quantized)
    shared = trilobite.load(quantized)
    text = Path(__file__).read_text()

    def generate(source: random.Random) -> None:
        """A model that is loaded anew, in any format of its cache."""
        model = trilobite.load(quantized, kv=source.choice(_KV), mmap=source.random() < 0.5)
        _continue(model, source)

    def threads(source: random.Random) -> None:
        """Four threads on one model, and on one seed each."""
        workers = [
            threading.Thread(target=_continue, args=(shared, random.Random(source.random())))
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _continue(model: Any, source: random.Random) -> None:
        begin = source.randrange(1000)
        prompt = text[begin:begin + source.randrange(1, 1200)]
        trilobite.generate(model, prompt, source.randrange(1, 40), source.random(), seed=begin)

    def evaluate(source: random.Random) -> None:
        trilobite.evaluate(shared, tokens=source.randrange(100, 1200))

    def estimate(source: random.Random) -> None:
        """Estimate by formulas and for an accelerator in RTL, and write both as JSON and a page."""
        for hardware in ("tlmm-kv260", "kv260"):
            estimates = trilobite.estimate(
                "bitnet-0.73b", hardware=hardware, prompt=source.choice(_PROMPTS),
                tokens=source.choice(_TOKENS))
            json.dumps(estimates.to_json())
            estimates.write_report(folder / "report.html")

    def serve(source: random.Random) -> None:
        requests = trilobite.draw_requests(12, output=16, seed=source.randrange(1 << 30))
        json.dumps(trilobite.serve_sim("bitnet-0.73b", requests).to_json())

    return [generate, threads, evaluate, estimate, serve]


def main() -> None:
    """Read the arguments, and say every minute what the process takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=Path, help="write all readings to this file")
    options = parser.parse_args()
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name) / "cache"
        os.environ["TRILOBITE_CACHE"] = str(cache)
        shown = -60.0
        for one in soak(_tasks(Path(name)), 60 * options.minutes, cache):
            readings.append(one)
            if one.seconds - shown >= 60:
                shown = one.seconds
                print(_line(one), flush=True)
    print(_line(readings[-1]))
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(one) for one in readings]))
    found = growth(readings)
    print("\n".join(found) or "Nothing grew.")
    sys.exit(bool(found))


def _line(one: Reading) -> str:
    return (f"{one.seconds / 60:5.1f} min {one.rounds:5} rounds {one.resident / 1e6:7.1f} MB "
            f"{one.files:3} files {one.threads:3} threads {one.cache / 1e6:6.1f} MB in the cache "
            f"{one.objects:,} objects")


if __name__ == "__main__":
    main()
