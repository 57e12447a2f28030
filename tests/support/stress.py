"""Several threads that multiply by the same weights, or generate from the same model: a program.

    python -m support.stress --help

Everything is computed by one thread first; what another gives is compared with that, bit for bit.
Prints JSON: how often it was tried and wrong, and a digest of what is right, which every process
and every kernel must give. Run it with MALLOC_ARENA_MAX=1, so that all threads get their memory
from one place: memory that is used after it was freed is then soon another thread's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import trilobite

__all__ = ["Report", "environment", "start_stress"]

TOKENS = (1, 2, 6, 17, 70)
ROWS, COLUMNS = 520, 1280
Report = dict[str, Any]


def environment() -> dict[str, str]:
    """Where a process of its own finds the package and ``support``."""
    places = [Path(__file__).parent.parent, Path(trilobite.__file__).parent.parent]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}


def start_stress(kernel: str, *arguments: str, layer: str = "default") -> subprocess.Popen[str]:
    """Run this file, with a ``kernel`` of ``choice.KERNELS`` and a threading ``layer`` of Numba."""
    command = [sys.executable, "-m", "support.stress", *arguments]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment() | {"MALLOC_ARENA_MAX": "1", "TRILOBITE_KERNEL": kernel,
                             "NUMBA_THREADING_LAYER": layer},
    )


class _Task:
    """Something that gives an array, and what is right."""

    def __init__(self, name: str, run: Callable[[], np.ndarray]) -> None:
        self.name, self.run = name, run
        self.expected = run()

    def is_right(self) -> bool:
        return self.run().tobytes() == self.expected.tobytes()


def _multiplications(formats: str) -> Iterator[_Task]:
    from support.format_table import FORMAT_TABLE
    from trilobite.runtime.linear import make_linear

    random = np.random.default_rng(0)
    for case in [*FORMAT_TABLE, None]:
        if formats not in str(case or "float32"):
            continue
        columns = COLUMNS + 10 if case is None or case.columns == 1 else COLUMNS
        weight = random.standard_normal((ROWS, columns), np.float32)
        bias = random.standard_normal(ROWS, np.float32)
        linear = make_linear(weight if case is None else case.format.quantize(weight), bias)
        for tokens in TOKENS:
            x = random.standard_normal((tokens, columns), np.float32)
            yield _Task(f"{case or 'float32'} x {tokens}", lambda x=x, linear=linear: linear(x))


def _generations(folder: str, kinds: list[str], prompts: int) -> Iterator[_Task]:
    for kv in kinds:
        model = trilobite.load(folder, kv=kv)

        def generate(prompt: str, model: Any = model) -> np.ndarray:
            generation = model.generate(prompt, max_new_tokens=12)
            text = "".join(generation)
            return np.array([*generation.tokens, len(text)])

        for index in range(prompts):
            prompt = f"def f{index}(a, b):\n    " + "x = a\n    " * (9 * index)
            yield _Task(f"{kv} prompt {index}", lambda prompt=prompt, g=generate: g(prompt))


def _run(tasks: list[_Task], threads: int, rounds: int) -> Report:
    """Every thread goes through all ``tasks``, each from another one on."""
    wrong: list[str] = []
    failed: list[BaseException] = []
    begin = threading.Barrier(threads)

    def work(thread: int) -> None:
        begin.wait()
        try:
            for turn in range(rounds * len(tasks)):
                task = tasks[(thread * len(tasks) // threads + turn) % len(tasks)]
                if not task.is_right():
                    wrong.append(task.name)
        except BaseException as error:
            failed.append(error)
            raise

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]
    digest = hashlib.sha256(b"".join(task.expected.tobytes() for task in tasks)).hexdigest()
    return {"threads": threads, "tries": threads * rounds * len(tasks), "wrong": len(wrong),
            "which": sorted(set(wrong)), "digest": digest}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1, help="of everything, in every thread")
    parser.add_argument("--formats", default="", help="only those with this in their name")
    parser.add_argument("--model", help="a checkpoint: generate from it; None: multiply")
    parser.add_argument("--kv", nargs="+", default=["int8", "int4", "fp8", "float32"])
    parser.add_argument("--prompts", type=int, default=8)
    given = parser.parse_args()
    tasks = list(
        _generations(given.model, given.kv, given.prompts) if given.model
        else _multiplications(given.formats)
    )
    sys.setswitchinterval(1e-4)   # seconds: threads take turns between kernels
    print(json.dumps(_run(tasks, given.threads, given.rounds)))


if __name__ == "__main__":
    _main()
