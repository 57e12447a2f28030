"""What the machine can do at most: bytes read per second, VNNI products per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.extending import intrinsic

from trilobite.runtime.kernels import intrinsics
from trilobite.runtime.kernels.choice import available_kernels

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


@intrinsic
def _read(_: Any, address: Any, vectors: Any) -> tuple:
    """Exclusive or of ``vectors`` of 64 bytes, prefetched as the kernels do."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        address, vectors = arguments

        def step(index: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
            here = intrinsics.at(builder, address, index, 64 * len(totals))
            for place in range(len(totals)):
                intrinsics.prefetch(builder, here, 4096 + 64 * place)
            return [
                builder.xor(total, intrinsics.load(builder, here, intrinsics.WORDS, 64 * place))
                for place, total in enumerate(totals)
            ]

        rounds = builder.udiv(vectors, intrinsics.constant(intrinsics.INT64, 4))
        totals = intrinsics.repeat(
            builder, rounds, [intrinsics.constant(intrinsics.WORDS, 0)] * 4, step
        )
        for place, total in enumerate(totals):
            intrinsics.store(builder, total, address, 64 * place)

    return intrinsics.writes_memory(2, generate)


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
def _read_all(memory: np.ndarray, threads: int) -> None:
    for thread in prange(threads):
        part = memory[thread * (memory.shape[0] // threads):]
        _read(part.ctypes.data, memory.shape[0] // threads // 64)


@njit(parallel=True)
def _multiply_all(memory: np.ndarray, threads: int) -> None:
    for thread in prange(threads):
        _multiply(memory[4096 * thread:].ctypes.data, _ROUNDS)


def read_bandwidth(threads: int) -> float:
    """GB/s of reading 256 MiB in order, by vectors of 64 bytes (or as many as the CPU has)."""
    memory = np.ones(_BYTES, np.uint8)
    return _BYTES / _best(lambda: _read_all(memory, threads)) / 1e9


def vnni_peak(threads: int) -> float:
    """10^9 products of bytes per second by ``vpdpbusd`` from registers; 0 without VNNI."""
    if "vnni" not in available_kernels():
        return 0
    memory = np.zeros(4096 * threads, np.uint8)
    seconds = _best(lambda: _multiply_all(memory, threads))
    return threads * _ROUNDS * _SUMS * _PRODUCTS / seconds / 1e9
