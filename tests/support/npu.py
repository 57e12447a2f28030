"""Traffic for the INT4 x FP8 array, and the comparison of its totals with the runtime's."""

import numpy as np

from trilobite.hw.reference import pack_beats, unpack_beats
from trilobite.npu import ArrayParameters, Stationary
from trilobite.npu.array import Array
from trilobite.npu.parameters import TOTAL_WIDTH
from trilobite.quant.formats.fp8 import E4M3_VALUES
from trilobite.runtime.kernels.nibbles import Int4Fp8Linear
from trilobite.sim.bench import Traffic, build, exchange

_FINITE = np.delete(np.arange(256), [0x7F, 0x80, 0xFF])   # 0x80 is another zero
_UNITS = (E4M3_VALUES[_FINITE] * 512).astype(np.int64)
_ORDER = np.argsort(_UNITS)


def e4m3_codes(units):
    """The E4M3 codes (int64) of integers in units of 2^-9, every one of which must have a code."""
    place = np.searchsorted(_UNITS[_ORDER], units)
    assert np.array_equal(_UNITS[_ORDER][place], units)
    return _FINITE[_ORDER][place]


def array_traffic(shape: ArrayParameters, packed, units, stall=0.0, seed=0):
    """One job for each tile of rows and tokens of ``units`` int [N, K]; M and K must fill tiles."""
    M, K = packed.shape
    N, size, beats = len(units), shape.group_size, shape.beats_per_group
    groups = K // size
    codes = packed.codes().values.astype(np.int64)
    scales = np.asarray(packed.tensors["scale"]).astype(np.int64)
    activations = e4m3_codes(units)
    inputs = {"i_job": [], "i_weights": [], "i_activations": []}
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
        outputs={"o": M // shape.rows * (N // shape.parallel_tokens)}, stall=stall, seed=seed)


def _weight_beats(rows, scales):
    """Rows [beats, R, L] of INT4 codes and scale codes [beats, R], as beats."""
    nibbles = rows.reshape(len(rows), -1)[..., None] >> np.arange(4) & 1
    octets = scales[..., None] >> np.arange(8) & 1
    bits = np.concatenate([part.reshape(len(rows), -1) for part in (nibbles, octets)], axis=1)
    return np.packbits(bits.astype(np.uint8), axis=1, bitorder="little")


def totals(shape, observed, M, N):
    """int64 [N, M] out of the beats of ``o``."""
    count = shape.parallel_tokens * shape.rows
    found = unpack_beats(observed.outputs["o"], TOTAL_WIDTH, count)
    tiles = found.reshape(M // shape.rows, N, shape.rows)
    return tiles.transpose(1, 0, 2).reshape(N, M)


def check(shape, problems):
    """Run ``(packed, units, keywords of array_traffic)``; compare with the runtime; the cycles."""
    traffic = [array_traffic(shape, packed, units, **keywords)
               for packed, units, keywords in problems]
    observed = exchange(build(Array(shape), f"npu_{shape.stationary}"), traffic)
    for (packed, units, _), run in zip(problems, observed, strict=True):
        expected = Int4Fp8Linear(packed, None).integer(units.astype(np.int32))
        np.testing.assert_array_equal(totals(shape, run, packed.shape[0], len(units)), expected)
    return [run.cycles for run in observed]
