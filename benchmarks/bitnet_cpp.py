"""bitnet.cpp's I2_S and TL2 matmuls, called in a shared library that the user has built.

Below the folder of bitnet.cpp (github.com/microsoft/BitNet) a ``*.so`` must export its functions:
``quantize_i2_s`` and ``ggml_vec_dot_i2_i8_s``, and for TL2 ``ggml_preprocessor`` and
``ggml_qgemm_lut``, which exist for the shapes of ``include/kernel_config.ini`` only. The loops
over rows and tokens that bitnet.cpp has around them are here, compiled by Numba, and so are the
quantization of the activations for I2_S and the packing for TL2.

The library's TL2 functions for several tokens write the first token's output only, so that each
token is a call of its own here.
"""

from __future__ import annotations

import configparser
import ctypes
from collections.abc import Callable
from ctypes import c_int, c_int64, c_size_t
from functools import cache
from pathlib import Path

import numpy as np
from numba import njit, prange

__all__ = ["KINDS", "BitnetCpp", "BitnetWeight", "pack_tl2"]

KINDS = ("I2_S", "TL2")

_I2_S_COLUMNS = 128   # K is a multiple of it
_TOKENS_AT_ONCE = 4
_ROWS_AT_ONCE = 128
_TWO_COLUMNS = 32     # of the part in which two weights make an index
_TABLE = 32           # bytes of 16 int16
# Byte of a vector of 32 rows -> row.
_ROW_OF_BYTE = np.concatenate([
    np.arange(0, 8), np.arange(16, 24), np.arange(8, 16), np.arange(24, 32)
])


class BitnetCpp:
    """The library below ``folder``, and the shapes of its TL2: (M, K) -> (BM, BK).

    Raises ``FileNotFoundError`` if no library below ``folder`` exports I2_S's functions.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self._library = _exporting(folder, "ggml_vec_dot_i2_i8_s")
        if self._library is None:
            raise FileNotFoundError(
                f"No *.so below {folder} exports ggml_vec_dot_i2_i8_s; build bitnet.cpp there "
                "with shared libraries"
            )
        self.tl2_tiles: dict[tuple[int, int], tuple[int, int]] = {}
        config = folder / "include" / "kernel_config.ini"
        if hasattr(self._library, "ggml_qgemm_lut") and config.exists():
            parser = configparser.ConfigParser()
            parser.read(config)
            self.tl2_tiles = {
                (section.getint("m"), section.getint("k")):
                (section.getint("bm"), section.getint("bk"))
                for name, section in parser.items() if name != parser.default_section
            }

    def function(self, name: str, *arguments: type) -> Callable:
        """A function without a result; an address is a ``c_size_t``."""
        found = getattr(self._library, name)
        found.argtypes, found.restype = arguments, None
        return found

    def has(self, kind: str, M: int, K: int) -> bool:
        """Whether it has functions for such a weight."""
        return (M, K) in self.tl2_tiles if kind == "TL2" else K % _I2_S_COLUMNS == 0


def _exporting(folder: Path, name: str) -> ctypes.CDLL | None:
    for path in sorted(folder.rglob("*.so")):
        library = ctypes.CDLL(str(path))
        if hasattr(library, name):
            return library
    return None


class BitnetWeight:
    """``copies`` of a ternary float32 ``weight`` [M, K]; ``nbytes`` of one copy.

    ``weight`` holds 0 and one magnitude with both signs.
    """

    def __init__(
        self, library: BitnetCpp, kind: str, weight: np.ndarray, threads: int, copies: int
    ) -> None:
        self._threads = threads
        self._M, self._K = M, K = weight.shape
        self._scale = np.float32(np.abs(weight).max())
        if kind == "TL2":
            self._run = _tl2(library, M, K, *library.tl2_tiles[M, K])
            packed = pack_tl2(np.sign(weight).astype(np.int8), *library.tl2_tiles[M, K])
        else:
            self._run = _i2_s(library)
            packed = (_pack_i2_s(library, weight),)
        self.nbytes = sum(part.nbytes for part in packed)
        self._copies = [tuple(part.copy() for part in packed) for _ in range(copies)]

    def calls(self, x: np.ndarray, copies: int) -> list[Callable[[], np.ndarray]]:
        """Calls that multiply float32 ``x`` [N, K] with a copy each."""
        y = np.empty((len(x), self._M), np.float32)

        def call(parts: tuple[np.ndarray, ...]) -> np.ndarray:
            self._run(x, *parts, self._scale, self._threads, y)
            return y

        return [lambda parts=parts: call(parts) for parts in self._copies[:copies]]

    def close(self) -> None:
        """Give the memory back."""
        self._copies.clear()


def _pack_i2_s(library: BitnetCpp, weight: np.ndarray) -> np.ndarray:
    M, K = weight.shape
    source = np.ascontiguousarray(weight, np.float32)
    packed = np.zeros(M * K // 4 + 32, np.uint8)
    pack = library.function("quantize_i2_s", c_size_t, c_size_t, c_int64, c_int64, c_size_t)
    pack(source.ctypes.data, packed.ctypes.data, M, K, 0)
    return packed


@njit
def _quantize(x: np.ndarray, q: np.ndarray) -> tuple[float, int]:
    """Int8 ``q`` of one token by its largest magnitude; the scale's inverse and the sum."""
    largest = np.float32(1e-5)
    for k in range(x.shape[0]):
        largest = max(largest, abs(x[k]))
    scale = np.float32(127) / largest
    total = np.int32(0)
    for k in range(x.shape[0]):
        q[k] = np.int8(np.rint(x[k] * scale))
        total += np.int32(q[k])
    return np.float32(1) / scale, total


@cache
def _i2_s(library: BitnetCpp) -> Callable:
    dot = library.function(
        "ggml_vec_dot_i2_i8_s", c_int, c_size_t, c_size_t, c_size_t, c_size_t, c_size_t, c_size_t,
        c_int,
    )

    @njit(parallel=True)
    def run(
        x: np.ndarray, weight: np.ndarray, scale: np.float32, threads: int, y: np.ndarray
    ) -> None:
        N, K = x.shape
        M = y.shape[1]
        q = np.empty((N, K), np.int8)
        scales, totals = np.empty(N, np.float32), np.empty(N, np.int32)
        for n in range(N):
            scales[n], totals[n] = _quantize(x[n], q[n])
        together = N // _TOKENS_AT_ONCE * _TOKENS_AT_ONCE
        for thread in prange(threads):
            last = M * (thread + 1) // threads
            for block in range(M * thread // threads, last, _ROWS_AT_ONCE):
                rows = range(block, min(block + _ROWS_AT_ONCE, last))
                for n in range(0, together, _TOKENS_AT_ONCE):
                    for m in rows:
                        dot(K, y[n:, m:].ctypes.data, M, weight[m * K // 4:].ctypes.data, K,
                            q[n].ctypes.data, K, _TOKENS_AT_ONCE)
                for n in range(together, N):
                    for m in rows:
                        dot(K, y[n:, m:].ctypes.data, M, weight[m * K // 4:].ctypes.data, K,
                            q[n].ctypes.data, K, 1)
                for n in range(N):
                    for m in rows:
                        y[n, m] = (y[n, m] - totals[n]) * (scales[n] * scale)

    return run


@cache
def _tl2(library: BitnetCpp, M: int, K: int, tile: int, block: int) -> Callable:
    two_k = K % block
    three_k = K - two_k
    prepare = library.function(
        "ggml_preprocessor", c_int, c_int, c_int, c_int, c_size_t, c_size_t, c_size_t, c_size_t
    )
    multiply = library.function(
        "ggml_qgemm_lut", c_int, c_int, c_int, c_int, c_size_t, c_size_t, c_size_t, c_size_t,
        c_size_t, c_size_t,
    )
    three_bytes, two_bytes = tile * three_k // 6, tile * two_k // 4
    sign_bytes = tile * three_k // 24

    @njit(parallel=True)
    def run(
        x: np.ndarray, three: np.ndarray, two: np.ndarray, signs: np.ndarray, scale: np.float32,
        threads: int, y: np.ndarray,
    ) -> None:
        three_table = np.empty(three_k // 3 * _TABLE, np.uint8)
        two_table = np.empty(max(two_k // 2 * _TABLE, 1), np.uint8)
        scales, inverse = np.full(1, scale, np.float32), np.zeros(1, np.float32)
        tiles = M // tile
        for n in range(x.shape[0]):
            prepare(1, M, three_k, two_k, x[n].ctypes.data, inverse.ctypes.data,
                    three_table.ctypes.data, two_table.ctypes.data)
            for thread in prange(threads):
                for t in range(tiles * thread // threads, tiles * (thread + 1) // threads):
                    out = y[n, t * tile:].ctypes.data
                    multiply(1, M, K, three_k, three[t * three_bytes:].ctypes.data,
                             signs[t * sign_bytes:].ctypes.data, three_table.ctypes.data,
                             scales.ctypes.data, inverse.ctypes.data, out)
                    multiply(1, M, K, two_k, two[t * two_bytes:].ctypes.data,
                             signs.ctypes.data, two_table.ctypes.data, scales.ctypes.data,
                             inverse.ctypes.data, out)

    return run


def pack_tl2(
    codes: np.ndarray, tile: int, block: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes of ternary int8 ``codes`` [M, K]: indices of threes, indices of twos, signs.

    Tiles of ``tile`` rows follow each other; in a tile, blocks of ``block`` columns; in those, 32
    rows at a time. Three weights 9 a + 3 b + c make an index 0 to 13, their magnitude, and a sign;
    the columns that are left, two weights 3 a + b + 4. A byte holds the indices of two neighbours.
    """
    M, K = codes.shape
    two_k = K % block
    codes = codes.astype(np.int32)
    threes = codes[:, : K - two_k].reshape(M, -1, 3) @ np.array([9, 3, 1])
    twos = codes[:, K - two_k :].reshape(M, -1, 2) @ np.array([3, 1]) + 4
    return (
        _nibbles(np.abs(threes), tile, block // 3),
        _nibbles(twos, tile, _TWO_COLUMNS // 2),
        _signs(threes < 0, tile, block // 3),
    )


def _nibbles(indices: np.ndarray, tile: int, together: int) -> np.ndarray:
    M, count = indices.shape
    parts = indices.reshape(M // tile, tile // 32, 32, count // together, together // 2, 2)
    parts = parts[:, :, _ROW_OF_BYTE].transpose(0, 3, 1, 4, 2, 5).astype(np.uint8)
    return (parts[..., 0] << 4 | parts[..., 1]).reshape(-1)


def _signs(negative: np.ndarray, tile: int, together: int) -> np.ndarray:
    """Give a uint16 to each of 16 pairs of rows and 8 indices.

    From its top bit: index by index, the lower and the upper row of the pair.
    """
    M, count = negative.shape
    parts = negative.reshape(M // tile, tile // 32, 2, 16, count // together, together // 8, 4, 2)
    parts = parts.transpose(0, 4, 1, 5, 3, 6, 7, 2).reshape(-1, 16)
    places = np.arange(15, -1, -1, dtype=np.uint16)
    return (parts.astype(np.uint16) << places).sum(axis=1, dtype=np.uint16).view(np.uint8)
