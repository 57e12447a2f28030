"""Quantize damaged ONNX models for as long as you like; any other error than a clear one ends it.

    PYTHONPATH=tests python tests/fuzz/fuzz_onnx.py --seconds 3600 --seed 1
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from support.onnx_mutations import attempt, corpus, mutant, prepare
from trilobite.quant.formats import Fp8, Int4, Int8

_MEMORY_BYTES = 3 << 30   # of address space; more is a failure


def main() -> None:
    """Run until the time is over; print how many models were tried and how many were read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    chance = random.Random(arguments.seed)
    seeds = corpus()
    counts: Counter[str] = Counter()
    slowest = 0.0
    end = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        path = prepare(Path(folder) / "models")
        while time.monotonic() < end:
            data = mutant(seeds, chance)
            form = chance.choice((Int8(), Int4(32), Int4(None, False), Fp8()))
            layout = chance.choice(("qdq", "matmulnbits", "matmulnbits-float"))
            began = time.process_time()
            try:
                counts["read" if attempt(path, data, form, layout) else "refused"] += 1
            except BaseException:
                kept = Path(f"onnx-crash-{arguments.seed}.onnx")
                kept.write_bytes(data)
                print(f"{dict(counts)}; crash with {form} as {layout}, model in {kept}")
                raise
            slowest = max(slowest, time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{sum(counts.values())} models: {dict(counts)}; slowest {slowest:.2f} s of CPU, "
          f"peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
