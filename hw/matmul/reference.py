"""What the hardware blocks compute, in numpy, and how arrays become beats and back.

A beat is its payload's bits, least significant first, as ``ceil(width / 8)`` bytes: uint8
[beats, bytes].
"""

from __future__ import annotations

import numpy as np

from .engine_parameters import TlmmParameters
from .weight_codes import sign_magnitude

__all__ = ["matmul", "pack_activations", "pack_beats", "pack_floats", "pack_job", "pack_rows",
           "pack_weights", "unpack_beats", "unpack_floats", "unpack_rows", "unpack_sums",
           "weight_indices"]


def matmul(trits: np.ndarray, activations: np.ndarray) -> np.ndarray:
    """Exact ``activations @ trits.T``: int8 [M, K] and int8 [N, K] to int32 [N, M]."""
    # float64 is exact here (sums stay far below 2^53), and the only fast matmul numpy has.
    product = activations.astype(np.float64) @ trits.T.astype(np.float64)
    return product.astype(np.int32)


def pack_beats(fields: np.ndarray, width: int) -> np.ndarray:
    """Pack integers [beats, count] into beats, ``width`` bits each, the first one lowest."""
    bits = fields[..., None] >> np.arange(width) & 1
    return np.packbits(bits.reshape(len(fields), -1).astype(np.uint8), axis=1, bitorder="little")


def unpack_beats(beats: np.ndarray, width: int, count: int) -> np.ndarray:
    """Inverse of ``pack_beats`` for signed integers: int64 [beats, count]."""
    bits = np.unpackbits(beats, axis=1, bitorder="little")[:, :width * count]
    weights = 1 << np.arange(width, dtype=np.int64)
    weights[-1] *= -1
    return bits.reshape(len(beats), count, width) @ weights


def pack_floats(values: np.ndarray, lanes: int) -> np.ndarray:
    """Float32 [n] as beats of ``lanes`` numbers, the first one lowest, padded with 0."""
    padded = np.zeros((-(-len(values) // lanes), lanes), np.float32)
    padded.ravel()[:len(values)] = values
    return padded.view(np.uint8)


def unpack_floats(beats: np.ndarray, count: int) -> np.ndarray:
    """Inverse of ``pack_floats``: the first ``count`` numbers, float32."""
    return np.ascontiguousarray(beats).view(np.float32).ravel()[:count]


def weight_indices(parameters: TlmmParameters, trits: np.ndarray) -> np.ndarray:
    """Indices of an int8 [M, K] ternary matrix: int64 [passes, blocks, C, T], padded with 0.

    An index is ``sum(trit_i * 3^i)`` of its group as sign and magnitude.
    """
    M, K = trits.shape
    shape = (parameters.blocks(M), parameters.columns,
             parameters.passes(K), parameters.tables, parameters.group_size)
    padded = np.zeros((shape[0] * shape[1], shape[2] * parameters.pass_length), np.int64)
    padded[:M, :K] = trits
    values = padded.reshape(shape) @ 3 ** np.arange(parameters.group_size)
    return sign_magnitude(values, parameters.index_width).transpose(2, 0, 1, 3)


def pack_job(parameters: TlmmParameters, K: int, M: int) -> np.ndarray:
    """The job beat of an [M, K] matrix."""
    blocks_shift = parameters.max_passes.bit_length()
    width = blocks_shift + parameters.max_blocks.bit_length()
    job = parameters.passes(K) | parameters.blocks(M) << blocks_shift
    return pack_beats(np.array([[job]]), width)


def pack_activations(parameters: TlmmParameters, activations: np.ndarray) -> np.ndarray:
    """The activation beats of N vectors, int8 [N, K]: N * passes beats, padded with 0."""
    N, K = activations.shape
    padded = np.zeros((N, parameters.passes(K) * parameters.pass_length), np.int64)
    padded[:, :K] = activations
    return pack_beats(padded.reshape(-1, parameters.pass_length), parameters.activation_width)


def pack_weights(parameters: TlmmParameters, trits: np.ndarray) -> np.ndarray:
    """The weight beats of an int8 [M, K] ternary matrix: passes * blocks beats."""
    indices = weight_indices(parameters, trits)
    return pack_beats(indices.reshape(-1, parameters.columns * parameters.tables),
                      parameters.index_width)


def unpack_sums(parameters: TlmmParameters, beats: np.ndarray, M: int) -> np.ndarray:
    """The sums in the output beats of N jobs of M rows: int32 [N, M].

    Raises
    ------
    ValueError
        ``last`` is not set in the last beat of each job, or is set in another.
    """
    blocks = parameters.blocks(M)
    fields = parameters.accumulator_width * parameters.columns
    sums = unpack_beats(beats, parameters.accumulator_width, parameters.columns)
    last = beats[:, fields // 8] >> fields % 8 & 1
    expected = np.arange(1, len(beats) + 1) % blocks == 0
    if len(beats) % blocks or not np.array_equal(last, expected):
        raise ValueError(f"The output's last beats are not every {blocks}th of {len(beats)}")
    return sums.reshape(-1, blocks * parameters.columns)[:, :M].astype(np.int32)


def pack_rows(rows: list[np.ndarray], lanes: int) -> np.ndarray:
    """Float32 rows as the beats of ``row_layout``, zero past their ends, the last ones marked."""
    beats = []
    for row in rows:
        values = pack_floats(row, lanes)
        last = np.zeros((len(values), 1), np.uint8)
        last[-1] = 1
        beats.append(np.concatenate([values, last], axis=1))
    return np.concatenate(beats)


def unpack_rows(beats: np.ndarray, dtype: type, lanes: int) -> list[np.ndarray]:
    """The rows in beats of ``row_layout``, each a whole number of beats long.

    ``dtype`` is that of an element: ``np.float32`` or ``np.int8``.

    Raises
    ------
    ValueError
        The last beat does not end a row.
    """
    width = lanes * np.dtype(dtype).itemsize
    values: np.ndarray = np.ascontiguousarray(beats[:, :width]).view(dtype)
    ends = np.flatnonzero(beats[:, width]) + 1
    if len(beats) and (not len(ends) or ends[-1] != len(beats)):
        raise ValueError(f"The last of {len(beats)} beats does not end a row")
    return [part.ravel() for part in np.split(values, ends[:-1])]
