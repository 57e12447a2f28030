"""What the machine can do at most: bytes read per second, VNNI products per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.extending import intrinsic

from trilobite.runtime.kernels.choice import available_kernels
from trilobite.runtime.kernels.ir.x86 import vectors as intrinsics

__all__ = ["read_bandwidth", "vnni_peak"]

_BYTES = 1 << 28
_ROUNDS = 1 << 20
_SUMS = 16            # in flight, more than the latency of vpdpbusd times two
_PRODUCTS = 64        # of one vpdpbusd
_TRIES = 7


def _best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _reader(streams: int, prefetch: int) -> Callable[[np.ndarray, int], None]:
    """A function that reads memory with a number of threads, each in so many streams at once.

    Vectors of 64 bytes are combined by exclusive or; ``prefetch`` is how many bytes ahead the next
    ones are asked for, or 0 for what the CPU does itself.
    """

    @intrinsic
    def read(_: Any, address: Any, vectors: Any) -> tuple:
        def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
            address, vectors = arguments
            size = intrinsics.constant(intrinsics.INT64, 64)
            part = builder.udiv(vectors, intrinsics.constant(intrinsics.INT64, streams))

            def step(index: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
                for stream in range(streams):
                    first = builder.mul(part, intrinsics.constant(intrinsics.INT64, stream))
                    start = builder.add(address, builder.mul(first, size))
                    here = intrinsics.at(builder, start, index, 64 * len(totals))
                    if prefetch:
                        for place in range(len(totals)):
                            intrinsics.prefetch(builder, here, prefetch + 64 * place)
                    totals = [
                        builder.xor(
                            total, intrinsics.load(builder, here, intrinsics.WORDS, 64 * place)
                        )
                        for place, total in enumerate(totals)
                    ]
                return totals

            rounds = builder.udiv(part, intrinsics.constant(intrinsics.INT64, 4))
            zero = intrinsics.constant(intrinsics.WORDS, 0)
            for place, total in enumerate(intrinsics.repeat(builder, rounds, [zero] * 4, step)):
                intrinsics.store(builder, total, address, 64 * place)

        return intrinsics.writes_memory(2, generate)

    @njit(parallel=True)
    def read_all(memory: np.ndarray, threads: int) -> None:
        for thread in prange(threads):
            part = memory[thread * (memory.shape[0] // threads):]
            read(part.ctypes.data, memory.shape[0] // threads // 64)

    return read_all


# One stream, and the prefetch that the kernels have; two, left to the CPU. Which is faster depends
# on the CPU.
_READERS = (_reader(1, 4096), _reader(2, 0))


@intrinsic
def _multiply(_: Any, address: Any, rounds: Any) -> tuple:
    """``rounds`` of ``_SUMS`` products of vectors that stay in registers."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        address, rounds = arguments
        operand = intrinsics.load(builder, address, intrinsics.WORDS)

        def step(_: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
            return [intrinsics.dot4(builder, total, operand, operand) for total in totals]

        before = [
            intrinsics.load(builder, address, intrinsics.WORDS, 64 * place)
            for place in range(_SUMS)
        ]
        for place, total in enumerate(intrinsics.repeat(builder, rounds, before, step)):
            intrinsics.store(builder, total, address, 64 * place)

    return intrinsics.writes_memory(2, generate)


@njit(parallel=True)
def _multiply_all(memory: np.ndarray, threads: int) -> None:
    for thread in prange(threads):
        _multiply(memory[4096 * thread:].ctypes.data, _ROUNDS)


@cache
def _memory() -> np.ndarray:
    return np.ones(_BYTES, np.uint8)


def read_bandwidth(threads: int) -> float:
    """GB/s of reading 256 MiB, by the faster of ``_READERS``."""
    memory = _memory()
    seconds = min(_best(lambda read=read: read(memory, threads)) for read in _READERS)
    return _BYTES / seconds / 1e9


def vnni_peak(threads: int) -> float:
    """10^9 products of bytes per second by ``vpdpbusd`` from registers; 0 without VNNI."""
    if "vnni" not in available_kernels():
        return 0
    memory = np.zeros(4096 * threads, np.uint8)
    seconds = _best(lambda: _multiply_all(memory, threads))
    return threads * _ROUNDS * _SUMS * _PRODUCTS / seconds / 1e9
