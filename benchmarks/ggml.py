"""Matmuls of llama.cpp and ik_llama.cpp, by ctypes into their shared libraries of ggml."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Callable
from ctypes import POINTER, Structure, c_bool, c_char, c_float, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path

import numpy as np

__all__ = [
    "TYPES", "Ggml", "GgmlWeight", "ik_library", "ik_llama", "llama_cpp", "llama_cpp_available"
]

# ggml.h: enum ggml_type; the second row is ik_llama.cpp's.
TYPES = {
    "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "TQ1_0": 34, "TQ2_0": 35,
    "IQ1_BN": 134, "IQ2_BN": 135, "IQ2_BN_R4": 335,
}
_FLOAT32 = 0
_REPACK = "_Z35ggml_backend_cpu_repack_buffer_typev"   # what llama.cpp does where it can
_REPACKED = ("Q4_0", "Q4_K")
_ROOM = 1 << 20
_ALONE = os.RTLD_LOCAL | getattr(os, "RTLD_DEEPBIND", 0)   # two libraries export the same names


_SILENT = ctypes.CFUNCTYPE(None, c_int, c_void_p, c_void_p)(lambda level, text, data: None)


class _InitParams(Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


class _Plan(Structure):
    """``ggml_cplan`` as far as both libraries have it in common; the rest is room."""

    _fields_ = (
        ("work_size", c_size_t), ("work_data", c_void_p), ("n_threads", c_int),
        ("rest", c_char * 256),
    )


class Ggml:
    """The functions that are called, with their types, of one ggml.

    ``base`` makes tensors and graphs, ``cpu`` computes; ik_llama.cpp has both in one library, and
    no thread pool in the signature of ``ggml_graph_plan``.
    """

    def __init__(self, base: ctypes.CDLL, cpu: ctypes.CDLL) -> None:
        signatures = {
            "ggml_init": (c_void_p, [_InitParams]),
            "ggml_free": (None, [c_void_p]),
            "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
            "ggml_mul_mat": (c_void_p, [c_void_p] * 3),
            "ggml_new_graph": (c_void_p, [c_void_p]),
            "ggml_build_forward_expand": (None, [c_void_p] * 2),
            "ggml_quantize_chunk": (
                c_size_t,
                [c_int, POINTER(c_float), c_void_p, c_int64, c_int64, c_int64, *[c_void_p] * 2],
            ),
            "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, [c_void_p] * 2),
            "ggml_backend_buffer_free": (None, [c_void_p]),
            "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
            "ggml_row_size": (c_size_t, [c_int, c_int64]),
            "ggml_get_data": (c_void_p, [c_void_p]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(base, name)
            function.restype, function.argtypes = result, arguments
        cpu.ggml_graph_compute.argtypes = [c_void_p, POINTER(_Plan)]
        cpu.ggml_graph_plan.restype = _Plan
        self.base, self.cpu = base, cpu
        if base is not cpu:
            cpu.ggml_graph_plan.argtypes = [c_void_p, c_int, c_void_p]
            self.repack = getattr(cpu, _REPACK)
            self.repack.restype = c_void_p
            cpu.ggml_cpu_init()
            base.ggml_log_set(_SILENT, None)
        else:
            cpu.ggml_graph_plan.argtypes = [c_void_p, c_int]

    def plan(self, graph: int, threads: int) -> _Plan:
        """How a graph will be computed."""
        pool = () if self.base is self.cpu else (None,)
        return self.cpu.ggml_graph_plan(graph, threads, *pool)


def _folder() -> Path | None:
    found = importlib.util.find_spec("llama_cpp")
    return Path(found.origin).parent / "lib" if found and found.origin else None


def llama_cpp_available() -> bool:
    """Whether llama-cpp-python is installed with its libraries."""
    folder = _folder()
    return folder is not None and (folder / "libggml-cpu.so").exists()


@cache
def llama_cpp() -> Ggml:
    """The libraries that the package llama-cpp-python brings."""
    folder = _folder()
    return Ggml(*(
        ctypes.CDLL(str(folder / name), _ALONE) for name in ("libggml-base.so", "libggml-cpu.so")
    ))


def ik_library(folder: str | Path) -> Path:
    """The shared library of a built ik_llama.cpp: the first ``libggml.so`` below ``folder``.

    Raises ``FileNotFoundError`` if there is none.
    """
    path = next(iter(sorted(Path(folder).rglob("libggml.so"))), None)
    if path is None:
        raise FileNotFoundError(
            f"There is no libggml.so below {folder}; build ik_llama.cpp there with shared libraries"
        )
    return path


@cache
def ik_llama(path: Path) -> Ggml:
    """What ``ik_library`` found."""
    library = ctypes.CDLL(str(path), _ALONE)
    return Ggml(library, library)


class GgmlWeight:
    """``copies`` of a float32 ``weight`` [M, K] in a type of ``TYPES``; ``nbytes`` of one copy.

    llama.cpp repacks the types that it prefers in another layout on this CPU.
    """

    def __init__(
        self, library: Ggml, kind: str, weight: np.ndarray, threads: int, copies: int
    ) -> None:
        base = library.base
        self._library, self._threads = library, threads
        self._M, self._K = M, K = weight.shape
        self.nbytes = base.ggml_row_size(TYPES[kind], K) * M
        packed = np.empty(self.nbytes, np.uint8)
        source = np.ascontiguousarray(weight, np.float32)
        pointer = source.ctypes.data_as(POINTER(c_float))
        # The last argument is ik_llama.cpp's alone; llama.cpp does not look at it.
        base.ggml_quantize_chunk(TYPES[kind], pointer, packed.ctypes.data, 0, M, K, None, None)
        repack = kind in _REPACKED and base is not library.cpu
        # One context for all: ik_llama.cpp has no more than 64.
        size = _ROOM * copies if repack else (self.nbytes + _ROOM) * copies
        self._weights = base.ggml_init(_InitParams(size, None, repack))
        self._graphs: int | None = None
        self._buffer: int | None = None
        self._tensors = [
            base.ggml_new_tensor_2d(self._weights, TYPES[kind], K, M) for _ in range(copies)
        ]
        if repack:
            self._buffer = base.ggml_backend_alloc_ctx_tensors_from_buft(
                self._weights, library.repack()
            )
        for tensor in self._tensors:
            if repack:
                base.ggml_backend_tensor_set(tensor, packed.ctypes.data, 0, self.nbytes)
            else:
                ctypes.memmove(base.ggml_get_data(tensor), packed.ctypes.data, self.nbytes)

    def calls(self, x: np.ndarray, copies: int) -> list[Callable[[], np.ndarray]]:
        """Calls that multiply float32 ``x`` [N, K] with a copy each; earlier calls end."""
        base, tensors = self._library.base, self._tensors[:copies]
        self._end_calls()
        size = x.nbytes + (4 * len(x) * self._M + _ROOM) * (len(tensors) + 1)
        self._graphs = base.ggml_init(_InitParams(size, None, False))
        given = base.ggml_new_tensor_2d(self._graphs, _FLOAT32, self._K, len(x))
        ctypes.memmove(base.ggml_get_data(given), x.ctypes.data, x.nbytes)
        return [self._graph(tensor, given, len(x)) for tensor in tensors]

    def _graph(self, tensor: int, given: int, N: int) -> Callable[[], np.ndarray]:
        """One call: a graph of one node."""
        base, compute = self._library.base, self._library.cpu.ggml_graph_compute
        result = base.ggml_mul_mat(self._graphs, tensor, given)
        graph = base.ggml_new_graph(self._graphs)
        base.ggml_build_forward_expand(graph, result)
        plan = self._library.plan(graph, self._threads)
        work = np.empty(plan.work_size + 64, np.uint8)
        plan.work_data = work.ctypes.data
        place = (c_float * (N * self._M)).from_address(base.ggml_get_data(result))
        y = np.frombuffer(place, np.float32).reshape(N, self._M)

        def call() -> np.ndarray:
            assert work.size and compute(graph, ctypes.byref(plan)) == 0
            return y

        return call

    def close(self) -> None:
        """Give the memory back; the calls become invalid."""
        self._end_calls()
        self._library.base.ggml_free(self._weights)
        if self._buffer:
            self._library.base.ggml_backend_buffer_free(self._buffer)
        self._tensors.clear()

    def _end_calls(self) -> None:
        if self._graphs:
            self._library.base.ggml_free(self._graphs)
            self._graphs = None
