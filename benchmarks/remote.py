"""Contenders in a process of their own: llama.cpp and ik_llama.cpp.

They share OpenMP with Numba, and Trilobite tells OpenMP how long its threads wait actively; in a
process without Trilobite they run as their users run them. Run as a script, this is that process:
it reads pickled (method, arguments) from its standard input and writes the results.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

import ggml
import numpy as np
from timing import best_of, settle
from weights import copies_of, weight_of

__all__ = ["RemoteWeight", "without_waiting_policy"]

_BITS = {"TQ": 2, "IQ": 2, "Q4": 4, "Q8": 8}   # about


def without_waiting_policy() -> dict[str, str]:
    """Give the environment of this process less what says how OpenMP's threads wait."""
    told = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    return {name: value for name, value in os.environ.items() if name not in told}


class _Server:
    """The other process's side: one weight after another."""

    def __init__(self) -> None:
        self._made: dict[str, ggml.GgmlWeight] = {}
        self._calls: dict[str, list] = {}

    def make(
        self, name: str, library: Path | None, kind: str, KM: tuple[int, int], threads: int,
        working_set: float,
    ) -> int:
        maker, variant = name.split(" ")
        found = ggml.llama_cpp() if maker == "llama.cpp" else ggml.ik_llama(library)
        copies = copies_of(KM[0] * KM[1] * _BITS[variant[:2]] / 8, working_set)
        weight = ggml.GgmlWeight(found, variant, _weight(kind, *KM), threads, copies)
        self._made[name] = weight
        return weight.nbytes

    def output(self, name: str, x: np.ndarray, copies: int) -> np.ndarray:
        self._calls[name] = self._made[name].calls(x, copies)
        y = self._calls[name][0]().copy()
        settle()
        return y

    def best(self, name: str, seconds: float) -> float:
        time = best_of(self._calls[name], seconds)
        settle()
        return time

    def close(self, name: str) -> None:
        self._calls.pop(name, None)
        self._made.pop(name).close()


_weight = cache(weight_of)


@cache
def _process() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=without_waiting_policy(),
    )


def _ask(method: str, *arguments: object) -> object:
    process = _process()
    pickle.dump((method, arguments), process.stdin)
    process.stdin.flush()
    try:
        return pickle.load(process.stdout)
    except EOFError:
        sys.exit(f"The other libraries' process ended in {method}{arguments[:1]}")


class RemoteWeight:
    """A ``contenders.Contender`` in the other process, which makes the weight itself.

    ``name`` is one of ``contenders.PEERS``, ``library`` the path of ik_llama.cpp's.
    """

    def __init__(
        self, name: str, library: Path | None, kind: str, KM: tuple[int, int], threads: int,
        working_set: float,
    ) -> None:
        self._name = name
        self.nbytes = _ask("make", name, library, kind, KM, threads, working_set)

    def output(self, x: np.ndarray, copies: int) -> np.ndarray:
        """The other process does what ``contenders.Contender`` says."""
        return _ask("output", self._name, x, copies)

    def best(self, seconds: float) -> float:
        """The other process does what ``contenders.Contender`` says."""
        return _ask("best", self._name, seconds)

    def close(self) -> None:
        """The other process does what ``contenders.Contender`` says."""
        _ask("close", self._name)


def serve() -> None:
    """Answer until the other side closes."""
    server, answers = _Server(), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)   # what a library prints must not get between the answers
    while True:
        try:
            method, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(getattr(server, method)(*arguments), answers)
        answers.flush()


if __name__ == "__main__":
    serve()
