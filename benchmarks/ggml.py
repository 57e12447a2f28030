"""llama.cpp's matmul, by ctypes into the libraries that the package llama-cpp-python brings."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from ctypes import POINTER, Structure, c_bool, c_char, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

__all__ = ["TYPES", "available", "matmuls"]

# ggml.h: enum ggml_type
TYPES = {"Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "TQ1_0": 34, "TQ2_0": 35}
_FLOAT32 = 0
_REPACK = "_Z35ggml_backend_cpu_repack_buffer_typev"   # what llama.cpp does where it can
_ROOM = 1 << 20


_SILENT = ctypes.CFUNCTYPE(None, c_int, c_void_p, c_void_p)(lambda level, text, data: None)


class _InitParams(Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


class _Plan(Structure):
    """``ggml_cplan`` as far as it is used here; the rest is room."""

    _fields_ = (
        ("work_size", c_size_t), ("work_data", c_void_p), ("n_threads", c_int),
        ("threadpool", c_void_p), ("rest", c_char * 256),
    )


class _PoolParams(Structure):
    _fields_ = (("room", c_char * 1024),)


def _folder() -> Path | None:
    found = importlib.util.find_spec("llama_cpp")
    return Path(found.origin).parent / "lib" if found and found.origin else None


def available() -> bool:
    """Whether llama-cpp-python is installed with its libraries."""
    folder = _folder()
    return folder is not None and (folder / "libggml-cpu.so").exists()


class _Library:
    """The functions that are called, with their types."""

    def __init__(self) -> None:
        folder = _folder()
        self.base = ctypes.CDLL(str(folder / "libggml-base.so"), ctypes.RTLD_GLOBAL)
        self.cpu = ctypes.CDLL(str(folder / "libggml-cpu.so"), ctypes.RTLD_GLOBAL)
        signatures = {
            "ggml_init": (c_void_p, [_InitParams]),
            "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
            "ggml_mul_mat": (c_void_p, [c_void_p] * 3),
            "ggml_new_graph": (c_void_p, [c_void_p]),
            "ggml_build_forward_expand": (None, [c_void_p] * 2),
            "ggml_quantize_chunk": (
                c_size_t,
                [c_int, POINTER(c_float), c_void_p, c_int64, c_int64, c_int64, c_void_p],
            ),
            "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, [c_void_p] * 2),
            "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
            "ggml_row_size": (c_size_t, [c_int, c_int64]),
            "ggml_get_data": (c_void_p, [c_void_p]),
            "ggml_threadpool_params_default": (_PoolParams, [c_int]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self.base, name)
            function.restype, function.argtypes = result, arguments
        self.cpu.ggml_graph_plan.restype = _Plan
        self.cpu.ggml_graph_plan.argtypes = [c_void_p, c_int, c_void_p]
        self.cpu.ggml_graph_compute.argtypes = [c_void_p, POINTER(_Plan)]
        self.cpu.ggml_threadpool_new.restype = c_void_p
        self.cpu.ggml_threadpool_new.argtypes = [POINTER(_PoolParams)]
        self.base.ggml_log_set(_SILENT, None)
        self.repack = getattr(self.cpu, _REPACK)
        self.repack.restype = c_void_p
        self.cpu.ggml_cpu_init()


def matmuls(
    kind: str, repack: bool, weight: np.ndarray, x: np.ndarray, threads: int, copies: int
) -> tuple[list[Callable[[], np.ndarray]], int]:
    """Calls that multiply float32 ``x`` [N, K] with a copy of ``weight`` [M, K] each; its bytes.

    ``kind`` is a key of ``TYPES``; ``repack`` puts the weight into the layout that llama.cpp
    prefers on this CPU.
    """
    library = _Library()
    base = library.base
    M, K = weight.shape
    nbytes = base.ggml_row_size(TYPES[kind], K) * M
    packed = np.empty(nbytes, np.uint8)
    source = np.ascontiguousarray(weight, np.float32)
    pointer = source.ctypes.data_as(POINTER(c_float))
    base.ggml_quantize_chunk(TYPES[kind], pointer, packed.ctypes.data, 0, M, K, None)
    parameters = base.ggml_threadpool_params_default(threads)
    pool = library.cpu.ggml_threadpool_new(ctypes.byref(parameters))
    calls = []
    for _ in range(copies):
        weights = base.ggml_init(_InitParams(_ROOM if repack else nbytes + _ROOM, None, repack))
        tensor = base.ggml_new_tensor_2d(weights, TYPES[kind], K, M)
        if repack:
            base.ggml_backend_alloc_ctx_tensors_from_buft(weights, library.repack())
            base.ggml_backend_tensor_set(tensor, packed.ctypes.data, 0, nbytes)
        else:
            ctypes.memmove(base.ggml_get_data(tensor), packed.ctypes.data, nbytes)
        calls.append(_graph(library, tensor, M, x, threads, pool))
    return calls, nbytes


def _graph(
    library: _Library, tensor: int, M: int, x: np.ndarray, threads: int, pool: int
) -> Callable[[], np.ndarray]:
    """One call: a graph of one node."""
    base, (N, K) = library.base, x.shape
    context = base.ggml_init(_InitParams(x.nbytes + 4 * N * M + _ROOM, None, False))
    given = base.ggml_new_tensor_2d(context, _FLOAT32, K, N)
    ctypes.memmove(base.ggml_get_data(given), x.ctypes.data, x.nbytes)
    result = base.ggml_mul_mat(context, tensor, given)
    graph = base.ggml_new_graph(context)
    base.ggml_build_forward_expand(graph, result)
    plan = library.cpu.ggml_graph_plan(graph, threads, pool)
    work = np.empty(plan.work_size + 64, np.uint8)
    plan.work_data = work.ctypes.data
    place = (c_float * (N * M)).from_address(base.ggml_get_data(result))
    y = np.frombuffer(place, np.float32).reshape(N, M)

    def call() -> np.ndarray:
        assert work.size and library.cpu.ggml_graph_compute(graph, ctypes.byref(plan)) == 0
        return y

    return call
