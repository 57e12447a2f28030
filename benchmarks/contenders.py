"""Who is compared: Trilobite's linears and other libraries', each made once for a weight."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import ggml
import numpy as np
import onnx_matmul
from bitnet_cpp import BitnetCpp, BitnetWeight
from remote import RemoteWeight
from timing import best_of, settle
from weights import TERNARY_SCALE, copies_of

from trilobite.quant.formats import (
    Codes,
    Format,
    Fp8,
    GroupedTernary,
    Int4,
    Int8,
    PackedWeight,
    Ternary,
)
from trilobite.runtime.kernels.choice import VARIABLE, available_kernels
from trilobite.runtime.linear import make_linear

__all__ = ["FORMATS", "LIBRARIES", "PEERS", "Contender", "Peers", "own"]

FORMATS: dict[str, Format] = {
    "ternary16": Ternary("base3"),
    "ternary2": Ternary("2bit"),
    "ternaryg128": GroupedTernary(128),
    "int4": Int4(32),
    "int4g128": Int4(128),
    "int8": Int8(),
    "fp8": Fp8(),
}
_TERNARY = (
    "llama.cpp TQ1_0", "llama.cpp TQ2_0", "ik_llama.cpp IQ2_BN", "ik_llama.cpp IQ2_BN_R4",
    "bitnet.cpp I2_S", "bitnet.cpp TL2", "onnxruntime 2 bit g128", "onnxruntime int8",
    "trilobite lookup",
)
_INT8 = ("llama.cpp Q8_0", "onnxruntime 8 bit g128", "onnxruntime int8")
PEERS = {
    "ternary16": _TERNARY,
    "ternary2": _TERNARY,
    "ternaryg128": _TERNARY,
    "int4": ("llama.cpp Q4_0", "llama.cpp Q4_K", "onnxruntime 4 bit g32"),
    "int4g128": ("llama.cpp Q4_0", "llama.cpp Q4_K", "onnxruntime 4 bit g128"),
    "int8": _INT8,
    "fp8": _INT8,
}
LIBRARIES = ("llama.cpp", "ik_llama.cpp", "bitnet.cpp", "onnxruntime", "numpy", "trilobite")
MOST_SESSIONS = 48   # of onnxruntime; more would take too long to make
_BLOCK = 256         # K is a multiple of it in llama.cpp


class Contender(Protocol):
    """Copies of one weight [M, K] in one library; ``nbytes`` of one copy."""

    nbytes: int

    def output(self, x: np.ndarray, copies: int) -> np.ndarray:
        """Float32 [N, M] of ``x`` [N, K]; what is timed next are calls like this one.

        They go round at most ``copies`` of the copies.
        """

    def best(self, seconds: float) -> float:
        """``timing.best_of`` the calls; afterwards, the threads sleep."""

    def close(self) -> None:
        """Give the memory back."""


class _Here:
    """A contender in this process, from one that makes its calls, or from functions of ``x``."""

    def __init__(self, made: BitnetWeight | onnx_matmul.OnnxWeight | _Functions) -> None:
        self._made, self.nbytes = made, made.nbytes
        self._calls: list[Callable[[], object]] = []

    def output(self, x: np.ndarray, copies: int) -> np.ndarray:
        self._calls = self._made.calls(x, copies)
        y = self._calls[0]()
        return y if isinstance(y, np.ndarray) else y.numpy()

    def best(self, seconds: float) -> float:
        time = best_of(self._calls, seconds)
        settle()
        return time

    def close(self) -> None:
        self._calls.clear()
        self._made.close()


class _Functions:
    def __init__(self, functions: list[Callable[[np.ndarray], np.ndarray]], nbytes: int) -> None:
        self._functions, self.nbytes = functions, nbytes

    def calls(self, x: np.ndarray, copies: int) -> list[Callable[[], object]]:
        return [lambda f=function: f(x) for function in self._functions[:copies]]

    def close(self) -> None:
        self._functions.clear()


def _quantized(kind: str, weight: np.ndarray) -> PackedWeight:
    """``weight`` in one of ``FORMATS``; a ternary one without loss."""
    if not kind.startswith("ternary"):
        return FORMATS[kind].quantize(weight)
    form = FORMATS[kind]
    layout = form.layout((weight.shape[0], weight.shape[1]))["scale"]
    scale = np.full(layout.shape, TERNARY_SCALE, np.float32)
    codes = Codes(np.sign(weight).astype(np.int8), scale)
    return PackedWeight(form, (weight.shape[0], weight.shape[1]), form.pack(codes))


def own(kind: str, weight: np.ndarray, working_set: float) -> Contender:
    """Trilobite's linear of a type, on copies that make up ``working_set`` bytes."""
    packed = _quantized(kind, weight)
    linears = [make_linear(packed, None)]
    for _ in range(copies_of(linears[0].nbytes, working_set) - 1):
        tensors = {suffix: tensor.copy() for suffix, tensor in packed.tensors.items()}
        linears.append(make_linear(PackedWeight(packed.format, packed.shape, tensors), None))
    return _Here(_Functions(list(linears), linears[0].nbytes))


@contextmanager
def _kernel(name: str) -> Iterator[None]:
    """Linears that are made meanwhile have the kernel ``name``."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


@dataclass(frozen=True)
class Peers:
    """The libraries that are compared with, of ``LIBRARIES``, and where two of them are.

    "trilobite lookup" is Trilobite's own table lookup, for CPUs that do not run it unasked.
    """

    libraries: tuple[str, ...]
    threads: int
    working_set: float
    bitnet_cpp: BitnetCpp | None = None
    ik_library: Path | None = None

    def names(self, kind: str, M: int, K: int) -> list[str]:
        """Those of ``PEERS`` that are here and take such a weight."""
        wanted = ["numpy float32", *PEERS[kind]]
        return [name for name in wanted if self._takes(*name.split(" ", 1), M, K)]

    def _takes(self, library: str, variant: str, M: int, K: int) -> bool:
        if library not in self.libraries:
            return False
        if library == "bitnet.cpp":
            return self.bitnet_cpp is not None and self.bitnet_cpp.has(variant, M, K)
        if library == "ik_llama.cpp":
            return self.ik_library is not None and K % _BLOCK == 0 and M % 4 == 0
        if library == "llama.cpp":
            return ggml.llama_cpp_available() and K % _BLOCK == 0
        if library == "trilobite":
            return variant in available_kernels()
        return library == "numpy" or onnx_matmul.available()

    def make(self, name: str, kind: str, weight: np.ndarray) -> Contender:
        """A peer by its name, with ``weight_of(kind)``, on copies that fill ``working_set``."""
        library, variant = name.split(" ", 1)
        M, K = weight.shape
        if library in ("llama.cpp", "ik_llama.cpp"):
            settings = (self.threads, self.working_set)
            return RemoteWeight(name, self.ik_library, kind, (K, M), *settings)
        if library == "trilobite":
            with _kernel(variant):
                return own(kind, weight, self.working_set)
        if library == "numpy":
            copies = [weight.copy() for _ in range(copies_of(weight.nbytes, self.working_set))]
            functions = [lambda x, w=w: x @ w.T for w in copies]
            return _Here(_Functions(functions, weight.nbytes))
        if library == "bitnet.cpp":
            count = copies_of(weight.size / 4, self.working_set)
            return _Here(BitnetWeight(self.bitnet_cpp, variant, weight, self.threads, count))
        bits = 8 if variant == "int8" else int(variant[0])
        block = None if variant == "int8" else int(variant.split("g")[1])
        count = min(copies_of(weight.size * bits / 8, self.working_set), MOST_SESSIONS)
        return _Here(onnx_matmul.OnnxWeight(bits, block, weight, self.threads, count))
