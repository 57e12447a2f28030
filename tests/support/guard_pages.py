"""Kernels between pages that cannot be touched: a program.

    LD_PRELOAD=guard_malloc.so python -m support.guard_pages

Every array of a linear, its operands and the memory that kernels ask for ends (or begins) at such
a page, and freed memory is one: a kernel that reads or writes elsewhere ends by a SIGSEGV.
Everything runs once without guards, so that nothing is compiled between them, and then the results
are compared. Prints how much was tried.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain, product
from pathlib import Path
from typing import get_args

import numpy as np

from support.stress import environment

__all__ = ["build_guard", "start_guarded"]

TOKENS = (1, 2, 3, 4, 5, 6, 7, 9, 17)
ROWS = (1, 63, 65, 130)
COLUMNS = (1, 31, 65, 130)   # rounded up to what a format takes
FEW = {"tokens": (1, 3, 17), "rows": (65,), "columns": (1, 130)}
MODES = {"end": 1, "begin": 2}


def build_guard(folder: Path) -> Path | None:
    """Compile ``guard_malloc.c``; None where there is no C compiler, or no glibc."""
    compiler, library = shutil.which("cc"), folder / "guard_malloc.so"
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    source = Path(__file__).with_name("guard_malloc.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", library, source]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return None if done.returncode else library


def start_guarded(library: Path, kernel: str, *arguments: str) -> subprocess.Popen[str]:
    """Run this file with a ``kernel`` of ``choice.KERNELS``."""
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "support.guard_pages", *arguments],
        env=environment() | {"LD_PRELOAD": str(library), "TRILOBITE_KERNEL": kernel},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def _linears(formats: str, few: bool) -> Iterator[tuple[str, Callable[[], list[np.ndarray]]]]:
    """Name, and what makes a linear and multiplies by it, for each format and shape."""
    from support.format_table import FORMAT_TABLE
    from trilobite.runtime.linear import make_linear

    counts, rows = (FEW["tokens"], FEW["rows"]) if few else (TOKENS, ROWS)
    for case in [*FORMAT_TABLE, None]:
        if formats not in str(case or "float32"):
            continue
        step = 1 if case is None else case.columns
        for M in rows:
            for wanted in FEW["columns"] if few else COLUMNS:
                columns = -(-wanted // step) * step

                def multiply(M: int = M, columns: int = columns, case=case) -> list[np.ndarray]:
                    random = np.random.default_rng(M)
                    weight = random.standard_normal((M, columns), np.float32)
                    packed = weight if case is None else case.format.quantize(weight)
                    linear = make_linear(packed, random.standard_normal(M, np.float32))
                    found = []
                    for tokens in counts:
                        x = random.standard_normal((tokens, columns), np.float32)
                        found.append(linear(x))
                        if case is not None:
                            found.append(linear.integer(linear.activations(x)[0]))
                    return found

                yield f"{case or 'float32'} [{M}, {columns}]", multiply


def _attentions(kinds: str) -> Iterator[tuple[str, Callable[[], list[np.ndarray]]]]:
    """Name, and what fills a KV cache to its end and attends, for each kind and head."""
    from trilobite.model import ModelConfig
    from trilobite.numerics import rope_tables
    from trilobite.runtime.kv_cache.cache import KVKind, make_cache

    pieces = (1, 5, 33, 1, 30)
    for kind, width in product(get_args(KVKind), (6, 16, 24, 64)):
        if kinds not in f"kv {kind}":
            continue

        def attend(kind: KVKind = kind, width: int = width) -> list[np.ndarray]:
            config = ModelConfig(
                family="llama", hidden_size=4 * width, intermediate_size=8, num_layers=1,
                num_heads=4, num_kv_heads=2, head_dim=width, vocab_size=8,
                max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=1e4,
            )
            random, found = np.random.default_rng(0), []
            for window in (None, 7):
                cache, start = make_cache(kind, config, sum(pieces)), 0
                for count in pieces:
                    cosine, sine = rope_tables(config, np.arange(start, start + count))
                    queries, keys, values = (
                        random.standard_normal((count, heads, width), np.float32)
                        for heads in (4, 2, 2)
                    )
                    found.append(cache.append_and_attend(
                        0, start, queries, keys, values, cosine, sine, window))
                    start += count
            return found

        yield f"kv {kind} [{width}]", attend


def _gates(wanted: str) -> Iterator[tuple[str, Callable[[], list[np.ndarray]]]]:
    from trilobite.runtime.kernels.elementwise import gate_for

    def gate() -> list[np.ndarray]:
        random = np.random.default_rng(0)
        return [gate_for("silu")(*random.standard_normal((2, 3, count), np.float32))
                for count in (1, 5, 16, 17, 100)]

    if wanted in "gate":
        yield "gate", gate


def _exact_weights() -> None:
    """Weights in arrays of their own: in the arena's large pieces no page would stand beside."""
    from trilobite.runtime.kernels import panel

    panel._arena.take = lambda nbytes: np.empty(nbytes, np.uint8)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="those with this in their name")
    parser.add_argument("--few", action="store_true", help="of shapes")
    parser.add_argument("--mode", choices=MODES, default="end")
    parser.add_argument("--overrun", action="store_true", help="read one byte too far, to be ended")
    given = parser.parse_args()
    guard = ctypes.CDLL(None)
    guard.guard_count.restype = ctypes.c_size_t
    _exact_weights()
    made = (_linears(given.only, given.few), _attentions(given.only), _gates(given.only))
    tasks = [(name, run, run()) for name, run in chain(*made)]
    cached = [np.empty(size, np.uint8) for size in range(1, 1024) for _ in range(8)]
    guard.guard_mode(MODES[given.mode])   # numpy has no freed blocks left to give out again
    if given.overrun:
        array = np.empty(100, np.uint8)
        ctypes.string_at(array.ctypes.data + (100 if given.mode == "end" else -1), 1)
    for name, run, expected in tasks:
        print(name, file=sys.stderr, flush=True)
        for one, other in zip(run(), expected, strict=True):
            assert np.array_equal(one, other), name
    blocks = guard.guard_count()
    guard.guard_mode(0)
    del cached
    print(len(tasks), blocks)


if __name__ == "__main__":
    _main()
