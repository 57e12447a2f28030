"""Float32 operands that find mistakes, and numpy's results in the rule's terms."""

import numpy as np

from support.sweep import mix

NAN = 0x7FC00000
CORNERS = (
    0x00000000, 0x80000000,   # zeros
    0x00000001, 0x807FFFFF,   # subnormal
    0x00800000, 0x80800000, 0x00800001, 0x00FFFFFF,   # the smallest normal numbers
    0x7F7FFFFF, 0xFF7FFFFF, 0x7F000000, 0x7EFFFFFF,   # the largest
    0x7F800000, 0xFF800000, 0x7FC00000, 0xFF800001,   # infinities, NaN
    0x3F800000, 0xBF800000, 0x3F7FFFFF, 0x3F800001,   # around one
    0x3F000000, 0x3FC00000, 0xC0200000, 0x40600000,   # ties of rint
    0x34000000, 0x33800000, 0x33800001, 0x4B000000,   # 2^-23, 2^-24, 2^23
    0x1F800000, 0x20000000, 0x42FE0000, 0xC3000000,   # products around the smallest; 127, -128
)


def random_bits(on, count, port):
    """Of a quarter of the counts, any bits; of the others, numbers of every kind below.

    ``on`` is ``Arrays`` or ``Gates`` of ``support.sweep``.
    """
    raw = mix(on, count * 2 + port)
    kind = mix(on, raw ^ 0x5BD1E995)
    sign_exponent, mantissa = raw & 0xFF800000, raw & 0x007FFFFF
    short = on.keep(mantissa & (0x007FFFFF << on.field(kind, 3, 5)))   # ties
    moderate = (raw & 0x8007FFFF) | 0x3C000000 | (raw & 0x03800000)
    corner = on.keep(kind & 0 | CORNERS[0])
    for index, value in enumerate(CORNERS[1:], 1):
        corner = on.keep(on.select(on.field(kind, 8, 5) == index, value, corner))
    bits = on.keep(on.select(on.field(kind, 0, 3) < 2, raw, sign_exponent | short))
    bits = on.keep(on.select(on.field(kind, 0, 3) == 3, corner, bits))
    bits = on.keep(on.select(on.field(kind, 0, 3) == 4, moderate, bits))
    filled = sign_exponent | (0x007FFFFF ^ (short >> 18))
    return on.keep(on.select(on.field(kind, 0, 3) == 5, filled, bits))


def related_bits(on, count, other):
    """Bits that meet ``other``'s: near it (cancellation), or near the range's ends with it."""
    raw = random_bits(on, count, 1)
    kind = mix(on, count ^ 0x2545F491)
    near = (other & 0x7FFFFFFF) + (kind & 0x80000000) + on.field(kind, 16, 4)
    exponent = on.field(other, 23, 8)
    small = on.keep(on.select(exponent < 127, 127 - exponent, 1))
    large = on.keep(on.select(exponent > 127, 382 - exponent, 254))
    end = on.keep(on.select(on.field(kind, 8, 1) == 1, small, large) & 0xFF)
    by_exponent = (other & 0x7F800000) | (raw & 0x807FFFFF)
    bits = on.keep(on.select(on.field(kind, 0, 3) == 0, near, raw))
    bits = on.keep(on.select(on.field(kind, 0, 3) == 1, (raw & 0x807FFFFF) | (end << 23), bits))
    return on.keep(on.select(on.field(kind, 0, 3) == 2, by_exponent, bits))


def to_float(bits):
    """uint64 bits to flushed float32."""
    value = np.asarray(bits).astype(np.uint32).view(np.float32)
    return np.where(np.abs(value) < np.float32(2.0**-126), np.copysign(np.float32(0), value), value)


def to_bits(value):
    """Float32, flushed, NaN as the units give it, as uint64 bits."""
    value = np.asarray(value, np.float32)
    flushed = np.where(np.abs(value) < np.float32(2.0**-126),
                       np.copysign(np.float32(0), value), value).astype(np.float32)
    return np.where(np.isnan(value), np.uint64(NAN), flushed.view(np.uint32).astype(np.uint64))
