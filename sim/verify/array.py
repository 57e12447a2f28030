"""The INT4 x FP8 array in simulation: its traffic, and its totals beside the runtime's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...hw.matmul.reference import pack_beats, unpack_beats
from ...npu import ArrayParameters, Stationary
from ...npu.array import Array
from ...npu.array_parameters import TOTAL_WIDTH
from ...quant.formats.base import PackedWeight
from ...quant.formats.fp8 import E4M3_VALUES
from ...runtime.kernels.floating.nibbles import Int4Fp8Linear
from .bench import Observed, Traffic, build, exchange

__all__ = ["ArrayJob", "ArrayRun", "array_totals", "array_traffic", "run_array"]

_FINITE = np.delete(np.arange(256), [0x7F, 0x80, 0xFF])   # 0x80 is another zero
_UNITS = (E4M3_VALUES[_FINITE] * 512).astype(np.int64)
_ORDER = np.argsort(_UNITS)


@dataclass(frozen=True)
class ArrayJob:
    """An ``int4-fp8`` weight [M, K] times activations int [N, K] in units of 2^-9.

    M and N must fill the array's tiles. Streams stall with the probability ``stall``: of all, or of
    each by name.
    """

    weight: PackedWeight
    units: np.ndarray
    stall: float | dict[str, float] = 0.0
    seed: int = 0


@dataclass(frozen=True)
class ArrayRun:
    """int64 ``totals`` [N, M] of the simulation, those of the runtime, and the cycles."""

    totals: np.ndarray
    expected: np.ndarray
    cycles: int

    @property
    def mismatches(self) -> int:
        """Totals that differ."""
        return int((self.totals != self.expected).sum())


def run_array(shape: ArrayParameters, jobs: Sequence[ArrayJob]) -> list[ArrayRun]:
    """Simulate ``jobs`` one after the other on one array.

    Raises
    ------
    ToolError
        A tool is missing, or the simulation failed.
    ValueError
        An activation has no E4M3 code, or tiles are not filled.
    """
    engine = build(Array(shape), f"npu_{shape.stationary}")
    observed = exchange(engine, [array_traffic(shape, job) for job in jobs])
    return [
        ArrayRun(array_totals(shape, run, job.weight.shape[0], len(job.units)),
                 Int4Fp8Linear(job.weight, None).integer(job.units.astype(np.int32)), run.cycles)
        for job, run in zip(jobs, observed, strict=True)
    ]


def e4m3_codes(units: np.ndarray) -> np.ndarray:
    """The E4M3 codes (int64) of integers in units of 2^-9, every one of which must have a code."""
    place = np.minimum(np.searchsorted(_UNITS[_ORDER], units), len(_UNITS) - 1)
    if not np.array_equal(_UNITS[_ORDER][place], units):
        raise ValueError("Some activations are not E4M3 values in units of 2^-9")
    return _FINITE[_ORDER][place]


def array_traffic(shape: ArrayParameters, job: ArrayJob) -> Traffic:
    """A job of the array for each tile of rows and tokens."""
    (M, K), N = job.weight.shape, len(job.units)
    if M % shape.rows or K % shape.group_size or N % shape.parallel_tokens:
        raise ValueError(f"{N} tokens and a weight of {[M, K]} do not fill tiles of {shape}")
    beats, groups = shape.beats_per_group, K // shape.group_size
    codes = job.weight.codes().values.astype(np.int64)
    scales = np.asarray(job.weight.tensors["scale"]).astype(np.int64)
    activations = e4m3_codes(job.units)
    inputs: dict[str, list] = {"i_job": [], "i_weights": [], "i_activations": []}
    for m in range(0, M, shape.rows):
        for n in range(0, N, shape.tokens):
            tile = activations[n:n + shape.tokens].reshape(-1, groups, beats, shape.lanes)
            inputs["i_job"].append(groups | len(tile) << 16)
            rows = codes[m:m + shape.rows].reshape(shape.rows, groups * beats, shape.lanes)
            of_rows = np.repeat(scales[m:m + shape.rows].T, beats, axis=0)
            inputs["i_weights"].append(_weight_beats(rows.transpose(1, 0, 2), of_rows))
            by_group = tile.transpose(1, 0, 2, 3)
            if shape.stationary is Stationary.OUTPUT:
                by_group = tile.transpose(1, 2, 0, 3)
            inputs["i_activations"].append(
                by_group.reshape(-1, shape.parallel_tokens * shape.lanes))
    return Traffic(
        inputs={
            "i_job": pack_beats(np.array(inputs["i_job"])[:, None], 32),
            "i_weights": np.concatenate(inputs["i_weights"]),
            "i_activations": pack_beats(np.concatenate(inputs["i_activations"]), 8),
        },
        outputs={"o": M // shape.rows * (N // shape.parallel_tokens)},
        stall=job.stall, seed=job.seed)


def _weight_beats(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Rows [beats, R, L] of INT4 codes and scale codes [beats, R], as beats."""
    nibbles = rows.reshape(len(rows), -1)[..., None] >> np.arange(4) & 1
    octets = scales[..., None] >> np.arange(8) & 1
    bits = np.concatenate([part.reshape(len(rows), -1) for part in (nibbles, octets)], axis=1)
    return np.packbits(bits.astype(np.uint8), axis=1, bitorder="little")


def array_totals(shape: ArrayParameters, observed: Observed, M: int, N: int) -> np.ndarray:
    """int64 [N, M] out of the beats of ``o``; the tokens of a tile come before the next tile."""
    count = shape.parallel_tokens * shape.rows
    found = unpack_beats(observed.outputs["o"], TOTAL_WIDTH, count).reshape(-1, shape.rows)
    tiles = found.reshape(M // shape.rows, N, shape.rows)
    return tiles.transpose(1, 0, 2).reshape(N, M)
