"""Base-3 ternary weights in AVX-512 VBMI: exact table lookup, and on to two bits for many tokens.

64 rows of a group of five columns are a vector of bytes. Of a base-3 value v in 0..242, v and
242 - v stand for opposite weights: the smaller of the two, below 128, is stored, with bit 7 set if
it is not v. ``vpermi2b`` looks up 64 of them in a table of 128 bytes.

**Few tokens.** A group's table holds the sums T that its weights can make of five activations,
int16 in two tables of bytes. Where bit 7 is set both bytes are complemented: -T - 1; how
often that is so in a row is known beforehand. High bytes are added modulo 256. Low bytes are added
as words, once as they are and once shifted right by 8: the even bytes' sum is the first of these
less 256 times the second, the odd bytes'. With the high bytes they are int16 sums, exact for up to
``GROUPS`` groups. Rows 0 to 31 are in even bytes, 32 to 63 in odd ones.

**Many tokens.** The same lookup with a fixed table gives four digits 0..2 in two bits each, and one
with another the fifth; where bit 7 is set they are subtracted from 2. Sixteen groups, 80 columns,
become five blocks of ``ternary_forms.TwoBit``, and activations are put in their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from .....tools.compiled import intrinsic, types
from .panel import ROWS, STEP
from .vectors import (
    BYTES,
    INT8,
    INT16,
    INT16S,
    WORDS,
    at,
    constant,
    declare,
    load,
    opaque,
    prefetch,
    repeat,
    splat,
    store,
    writes_memory,
)

__all__ = [
    "BYTE_OF",
    "GROUPS",
    "LINE",
    "TABLE",
    "UNIT",
    "UNIT_COLUMNS",
    "build_tables",
    "fetch",
    "in_unit_order",
    "look_up",
    "to_two_bit",
]

GROUPS = 48       # of columns, to an int16 sum: at most 48 * 5 * 128
LINE = 64         # bytes of a cache line
TABLE = 256       # bytes of the tables of a group
UNIT = 16         # groups that become five blocks of two bits
UNIT_COLUMNS = 80

_DIGITS = 5
_VALUES = np.arange(3**_DIGITS)
_MIDDLE = 121     # five zero weights: its own opposite
_STORED = np.arange(_MIDDLE + 1)
_TRITS = np.stack([_STORED // 3**d % 3 for d in range(_DIGITS)]).astype(np.uint8)

BYTE_OF = np.where(_VALUES > _MIDDLE, 128 + _VALUES[::-1], _VALUES).astype(np.uint8)

# The columns of a unit in the order in which its five blocks have them: first four digits of four
# groups at a time, then the fifth digits of all.
_COLUMN_ORDER = [
    *(20 * quad + 5 * byte + digit for quad in range(4) for digit in range(4) for byte in range(4)),
    *(20 * quad + 5 * byte + 4 for quad in range(4) for byte in range(4)),
]

Builder = ir.IRBuilder
Values = list[ir.Value]


def _vectors(entries: np.ndarray) -> list[ir.Constant]:
    """Constant vectors of uint8 ``entries`` of the 122 stored values, one after the other."""
    padded = np.zeros((128, *entries.shape[1:]), np.uint8)
    padded[: len(entries)] = entries
    return [ir.Constant(BYTES, part.tolist()) for part in padded.view(np.int8).reshape(-1, 64)]


def _look_up(builder: Builder, halves: Values, codes: ir.Value) -> ir.Value:
    """The byte of 128 in two vectors that the low seven bits of each code name."""
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    function = declare(builder, name, BYTES, [BYTES, BYTES, BYTES])
    return builder.call(function, [halves[0], codes, halves[1]])


def _opposite(builder: Builder, codes: ir.Value, highest: ir.Value, found: ir.Value) -> ir.Value:
    """``found``, subtracted from ``highest`` where the code's bit 7 is set."""
    mirrored = builder.icmp_signed("<", codes, constant(BYTES, 0))
    return builder.select(mirrored, builder.sub(highest, found), found)


def _pair_sums(builder: Builder, unsigned: ir.Value, signed: ir.Value) -> ir.Value:
    """``vpmaddubsw``: int16 sums of two products of a uint8 and an int8."""
    function = declare(builder, "llvm.x86.avx512.pmaddubs.w.512", INT16S, [BYTES, BYTES])
    return builder.call(function, [unsigned, builder.bitcast(signed, BYTES)])


@intrinsic
def build_tables(_: Any, q: Any, tables: Any, groups: Any) -> tuple:
    """Write uint8 ``tables`` [groups, TABLE] of int8 ``q`` [5 * groups]."""
    nothing = np.zeros(len(_STORED), np.uint8)
    # Digits of each stored value in pairs, as vpmaddubsw takes them, and where they start in q.
    pairs = [(0, (0, 1)), (2, (2, 3)), (3, (None, 4))]
    digits = [
        _vectors(np.stack([nothing if d is None else _TRITS[d] for d in pair], axis=1))
        for _, pair in pairs
    ]
    even, odd = ([2 * i + byte for i in range(64)] for byte in range(2))

    def generate(builder: Builder, arguments: Values) -> None:
        q, tables, groups = arguments

        def group(index: ir.Value, _: Values) -> Values:
            here = at(builder, q, index, _DIGITS)
            activations = [
                splat(builder, load(builder, here, INT16, first), INT16S) for first, _ in pairs
            ]
            total = constant(INT16, 0)
            for d in range(_DIGITS):
                total = builder.add(total, builder.sext(load(builder, here, INT8, d), INT16))
            minus = splat(builder, builder.neg(total), INT16S)   # digits are weights + 1
            sums = []
            for part in range(4):
                entry = minus
                for vectors, pair in zip(digits, activations, strict=True):
                    entry = builder.add(entry, _pair_sums(builder, vectors[part], pair))
                sums.append(builder.bitcast(entry, BYTES))
            table = at(builder, tables, index, TABLE)
            for place, (half, bytes_) in enumerate([(0, even), (2, even), (0, odd), (2, odd)]):
                order = ir.Constant(ir.VectorType(ir.IntType(32), 64), bytes_)
                chosen = builder.shuffle_vector(sums[half], sums[half + 1], order)
                store(builder, chosen, table, 64 * place)
            return []

        repeat(builder, groups, [], group)

    return writes_memory(3, generate)


def _add_sums(builder: Builder, sums: Values, totals: ir.Value) -> None:
    """Add a vector's sums, see ``look_up``, to int32 ``totals`` [ROWS]."""
    words, odd, high = sums
    eight = constant(INT16S, 8)
    high = builder.bitcast(high, INT16S)
    even = builder.add(
        builder.sub(words, builder.shl(odd, eight)), builder.shl(high, eight)
    )
    odd = builder.add(odd, builder.and_(high, constant(INT16S, 0xFF00)))
    for half, shorts in enumerate((even, odd)):
        for part in range(2):
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), 16),
                                list(range(16 * part, 16 * part + 16)))
            chosen = builder.shuffle_vector(shorts, ir.Constant(INT16S, ir.Undefined), lanes)
            place = 64 * (2 * half + part)
            before = load(builder, totals, WORDS, place)
            store(builder, builder.add(before, builder.sext(chosen, WORDS)), totals, place)


@intrinsic
def fetch(_: Any, address: Any, lines: Any) -> tuple:
    """Prefetch ``lines`` cache lines from ``address`` on."""

    def generate(builder: Builder, arguments: Values) -> None:
        address, lines = arguments

        def line(index: ir.Value, _: Values) -> Values:
            prefetch(builder, at(builder, address, index, LINE), 0)
            return []

        repeat(builder, lines, [], line)

    return writes_memory(2, generate)


@intrinsic
def look_up(
    _: Any, packed: Any, ahead: Any, tables: Any, totals: Any, total_stride: Any, groups: Any,
    vectors: Any,
) -> tuple:
    """Add the sums of up to ``GROUPS`` groups to int32 ``totals`` [ROWS] of one or two row groups.

    ``packed`` is uint8 [groups, row groups, ROWS], as many bytes from ``ahead`` on are prefetched;
    the ``totals`` of the second row group lie ``total_stride`` bytes after those of the first.
    ``vectors`` is a tuple whose length is the number of row groups, part of its type.
    """
    count = len(vectors)

    def generate(context: Any, builder: Builder, _: Any, arguments: Values) -> ir.Value:
        packed, ahead, tables, totals, total_stride, groups, _ = arguments
        ones = opaque(builder, constant(BYTES, 0xFF))   # or LLVM makes ~x of it, and then a blend

        def group(index: ir.Value, sums: Values) -> Values:
            table = at(builder, tables, index, TABLE)
            parts = [load(builder, table, BYTES, 64 * part) for part in range(4)]
            new = []
            here, later = (at(builder, start, index, count * ROWS) for start in (packed, ahead))
            for row in range(count):
                prefetch(builder, later, ROWS * row)   # into L2: tables are in the L1 cache
                codes = load(builder, here, BYTES, ROWS * row)
                low, high = (
                    _opposite(builder, codes, ones, _look_up(builder, half, codes))
                    for half in (parts[:2], parts[2:])
                )
                words, odd, highs = sums[3 * row:3 * row + 3]
                low = builder.bitcast(low, INT16S)
                new.append(builder.add(words, low))
                new.append(builder.add(odd, builder.lshr(low, constant(INT16S, 8))))
                new.append(builder.add(highs, high))
            return new

        nothing = [constant(INT16S, 0), constant(INT16S, 0), constant(BYTES, 0)] * count
        sums = repeat(builder, groups, nothing, group)
        for row in range(count):
            _add_sums(builder, sums[3 * row:3 * row + 3], at(builder, totals, total_stride, row))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, vectors), generate


def _interleaved(builder: Builder, four: Values) -> Values:
    """Vectors of 16 rows with a byte of each of ``four`` vectors of 64 rows."""
    words = [builder.bitcast(value, INT16S) for value in four]
    eight, low, high = (constant(INT16S, value) for value in (8, 0x00FF, 0xFF00))
    result = []
    for odd in range(2):
        pairs = []
        for first, second in (words[:2], words[2:]):
            below = builder.lshr(first, eight) if odd else builder.and_(first, low)
            above = builder.and_(second, high) if odd else builder.shl(second, eight)
            pairs.append(builder.or_(below, above))
        for part in range(2):
            lanes = [lane for r in range(16 * part, 16 * part + 16) for lane in (r, r + 32)]
            order = ir.Constant(ir.VectorType(ir.IntType(32), 32), lanes)
            result.append(builder.shuffle_vector(*pairs, order))
    return result


@intrinsic
def to_two_bit(_: Any, packed: Any, stride: Any, target: Any, units: Any) -> tuple:
    """Write ``target``, five two-bit blocks to a unit, from ``packed`` uint8 [units, UNIT, ROWS].

    The rows of one group begin ``stride`` bytes after those of the one before.
    """
    four_digits = _vectors(_TRITS[0] | _TRITS[1] << 2 | _TRITS[2] << 4 | _TRITS[3] << 6)
    fifth = _vectors(_TRITS[4])

    def generate(builder: Builder, arguments: Values) -> None:
        packed, stride, target, units = arguments

        def write(vectors: Values, blocks: ir.Value, block: int) -> None:
            for vector, value in enumerate(vectors):
                store(builder, value, blocks, STEP * block + 64 * vector)

        def unit(index: ir.Value, _: Values) -> Values:
            here = at(builder, packed, builder.mul(index, stride), UNIT)
            blocks = at(builder, target, index, 5 * STEP)
            lasts: Values = []
            for quad in range(4):
                fours = []
                for byte in range(4):
                    codes = load(builder, at(builder, here, stride, 4 * quad + byte), BYTES)
                    found = _look_up(builder, four_digits, codes)
                    fours.append(_opposite(builder, codes, constant(BYTES, 0xAA), found))
                    last = _look_up(builder, fifth, codes)
                    last = builder.bitcast(
                        _opposite(builder, codes, constant(BYTES, 2), last), INT16S
                    )
                    if quad == 0:
                        lasts.append(last)
                    else:
                        shifted = builder.shl(last, constant(INT16S, 2 * quad))
                        lasts[byte] = builder.or_(lasts[byte], shifted)
                write(_interleaved(builder, fours), blocks, quad)
            write(_interleaved(builder, lasts), blocks, 4)
            return []

        repeat(builder, units, [], unit)

    return writes_memory(4, generate)


@intrinsic
def in_unit_order(_: Any, q: Any, ordered: Any, units: Any) -> tuple:
    """Write int8 ``ordered`` [units, UNIT_COLUMNS] of ``q``, as ``to_two_bit`` has the columns."""
    overlap = UNIT_COLUMNS - 64   # a unit is read as two vectors, its first and its last bytes
    lanes = [column if column < 64 else 64 + column - overlap for column in _COLUMN_ORDER]

    def generate(builder: Builder, arguments: Values) -> None:
        q, ordered, units = arguments

        def unit(index: ir.Value, _: Values) -> Values:
            here, there = (at(builder, array, index, UNIT_COLUMNS) for array in (q, ordered))
            parts = [load(builder, here, BYTES, place) for place in (0, overlap)]
            for first, last in ((0, 64), (64, UNIT_COLUMNS)):
                kind = ir.VectorType(ir.IntType(32), last - first)
                order = ir.Constant(kind, lanes[first:last])
                store(builder, builder.shuffle_vector(*parts, order), there, first)
            return []

        repeat(builder, units, [], unit)

    return writes_memory(3, generate)
