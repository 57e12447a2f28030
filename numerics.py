"""The rule of numbers: every float32 operation of the runtime and of the hardware, defined once.

Elementwise arithmetic is IEEE binary32, round to nearest even, never fused; a rounded result that
is subnormal becomes zero with its sign. Operands are normal numbers, zeros, infinities or NaN: what
comes from outside passes through ``flush`` once. ``exp``, ``reciprocal`` and ``rsqrt`` are a table
(``numerics_tables``) and a quadratic, evaluated in the order written here, so that the same bits
come out of a scalar call, a vectorized loop and a circuit. The bits of a NaN are not specified.

The scalar functions are compiled by Numba and may be called from other compiled code; they have no
branches, so loops over them vectorize. Largest errors, over all float32 inputs, in units in the
last place of the true result (``tests/test_numerics_accuracy.py``):

==============  =====
function        ulp
==============  =====
``exp``         1.01
``reciprocal``  1.05
``rsqrt``       1.00
``sigmoid``     3.33
==============  =====
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .model import ModelConfig, RopeScaling
from .numerics_tables import EXP_SEGMENTS, EXP_TABLE, RECIPROCAL_TABLE, RSQRT_TABLE, SEGMENTS

__all__ = [
    "ABSMAX_FLOOR",
    "ATTENTION_TILE",
    "EXP_HIGHEST",
    "EXP_LOWEST",
    "EXP_STEPS_PER_UNIT",
    "EXP_STEP_HIGH",
    "EXP_STEP_LOW",
    "INT8_MAX",
    "INT8_STEP",
    "LANES",
    "WEIGHT_FLOOR",
    "WEIGHT_MAX",
    "WEIGHT_STEP",
    "add",
    "add_group",
    "add_lanes",
    "exp",
    "flush",
    "flush_array",
    "mul",
    "quantize_activation",
    "quantize_activation_fp8",
    "quantize_activations",
    "quantize_activations_fp8",
    "quantize_int4",
    "reciprocal",
    "rope_tables",
    "rsqrt",
    "scale_sum",
    "sigmoid",
    "sub",
    "sum_lanes",
    "sum_of_squares",
]

LANES = 16   # of a float sum

_MIN_NORMAL = np.float32(2.0**-126)
_INFINITY = np.float32(np.inf)
_NAN = np.float32(np.nan)
_ZERO = np.float32(0)
_ONE = np.float32(1)

_SIGN = np.int32(-0x8000_0000)
_MAGNITUDE = np.int32(0x7FFF_FFFF)
_MANTISSA = np.int32(0x007F_FFFF)
_MANTISSA_BITS = np.int32(23)
_ONE_BITS = np.int32(0x3F80_0000)
_INFINITY_BITS = np.int32(0x7F80_0000)
_MIN_NORMAL_BITS = np.int32(0x0080_0000)
_BIAS = np.int32(127)

# Adding 1.5 * 2^23 leaves round-to-nearest-even(x) in the low mantissa bits, for |x| < 2^22.
_ROUNDER = np.float32(1.5 * 2**23)
_ROUNDER_BITS = np.int32(0x4B40_0000)

# exp: k = rint(x * 128 / ln 2); ln 2 / 128 is split so that k (15 bits) times the first part (9
# bits) is exact, hence also x minus that product.
EXP_STEPS_PER_UNIT = np.float32(EXP_SEGMENTS / math.log(2))
EXP_STEP_HIGH = np.float32(355 * 2.0**-16)
EXP_STEP_LOW = np.float32(-float.fromhex("0x1.bd0106p-20"))
_EXP_SEGMENT_BITS = np.int32(EXP_SEGMENTS.bit_length() - 1)
_EXP_SEGMENT = np.int32(EXP_SEGMENTS - 1)
EXP_HIGHEST = np.float32(89)    # where the result is already infinite
EXP_LOWEST = np.float32(-88)    # where it is already zero

_SEGMENT_SHIFT = np.int32(24 - SEGMENTS.bit_length())
_SEGMENT_START = np.int32(-1 << (24 - SEGMENTS.bit_length()))

_EXP0, _EXP1, _EXP2 = (np.ascontiguousarray(column) for column in EXP_TABLE.T)
_RECIPROCAL0, _RECIPROCAL1, _RECIPROCAL2 = (
    np.ascontiguousarray(column) for column in RECIPROCAL_TABLE.T
)
_RSQRT0, _RSQRT1, _RSQRT2 = (np.ascontiguousarray(column) for column in RSQRT_TABLE.T)

# Inlined by LLVM whatever their size: a loop over a call does not vectorize.
_scalar = njit(cache=True, forceinline=True)

ABSMAX_FLOOR = np.float32(1e-5)
INT8_MAX = np.float32(127)
INT8_STEP = np.float32(1 / 127)
INT4_MAX = np.float32(7)
INT4_STEP = np.float32(1 / 7)
E4M3_MAX = np.float32(448)
E4M3_STEP = np.float32(1 / 448)
E4M3_UNITS = np.float32(512)   # in 1: every E4M3 number is an integer times 2^-9
_E4M3_NORMAL = np.float32(2.0**-6)
_E4M3_CUT_BITS = np.int32(20)  # of float32's mantissa that E4M3 does not have
_E4M3_CUT = np.int32((1 << 20) - 1)
_E4M3_HALF = np.int32((1 << 19) - 1)   # just below half of the last bit kept

# Attention: tokens of a tile, and its softmax weights as int16. Below the floor a tile's weights
# are all zero next to the running maximum's weight of one; it keeps the reciprocal finite.
ATTENTION_TILE = 32
WEIGHT_MAX = np.float32(32767)
WEIGHT_STEP = np.float32(1 / 32767)
WEIGHT_FLOOR = np.float32(2.0**-100)


@_scalar
def _bits(x: np.float32) -> np.int32:
    """The int32 that has the bits of float32 ``x``."""
    return np.float32(x).view(np.int32)


@_scalar
def _float(bits: np.int32) -> np.float32:
    """The float32 that has the bits of int32 ``bits``."""
    return np.int32(bits).view(np.float32)


@_scalar
def flush(x: np.float32) -> np.float32:
    """``x``, or zero with its sign if ``x`` is subnormal."""
    x = np.float32(x)
    return np.float32(math.copysign(_ZERO, x)) if abs(x) < _MIN_NORMAL else x


def flush_array(values: np.ndarray) -> np.ndarray:
    """``flush`` of every element of a float32 array: what weights from outside pass through."""
    return np.where(np.abs(values) < _MIN_NORMAL, np.copysign(_ZERO, values), values)


@_scalar
def add(a: np.float32, b: np.float32) -> np.float32:
    """Sum a + b, rounded once, flushed."""
    return flush(np.float32(a) + np.float32(b))


@_scalar
def sub(a: np.float32, b: np.float32) -> np.float32:
    """Difference a - b, rounded once, flushed."""
    return flush(np.float32(a) - np.float32(b))


@_scalar
def mul(a: np.float32, b: np.float32) -> np.float32:
    """Product a * b, rounded once, flushed."""
    return flush(np.float32(a) * np.float32(b))


@_scalar
def _quadratic(
    c0: np.float32, c1: np.float32, c2: np.float32, d: np.float32
) -> np.float32:
    """Horner's c0 + d * (c1 + d * c2) by ``mul`` and ``add``.

    Their flush is left out: c0 and c1 are so large that adding a subnormal, or the zero in its
    place, gives the same bits.
    """
    return c0 + d * (c1 + d * c2)


@_scalar
def exp(x: np.float32) -> np.float32:
    """Exponential of ``x``: 2^(k div 128) * table[k mod 128](d), k = rint(x * 128 / ln 2).

    Above 88.72 infinity; below -87.33 (where the result would be subnormal) zero.
    """
    x = np.float32(x)
    clamped = EXP_LOWEST if x < EXP_LOWEST else x
    clamped = EXP_HIGHEST if clamped > EXP_HIGHEST else clamped
    shifted = np.float32(mul(clamped, EXP_STEPS_PER_UNIT) + _ROUNDER)
    k = np.int32(_bits(shifted) - _ROUNDER_BITS)
    steps = np.float32(shifted - _ROUNDER)
    d = sub(sub(clamped, np.float32(steps * EXP_STEP_HIGH)), mul(steps, EXP_STEP_LOW))
    segment = np.int32(k & _EXP_SEGMENT)
    power = np.int32(k >> _EXP_SEGMENT_BITS)
    bits = _bits(_quadratic(_EXP0[segment], _EXP1[segment], _EXP2[segment], d))
    bits = np.int32(bits + np.int32(power << _MANTISSA_BITS))
    bits = np.int32(0) if bits < _MIN_NORMAL_BITS else min(bits, _INFINITY_BITS)
    return _NAN if np.isnan(x) else _float(bits)


@_scalar
def reciprocal(x: np.float32) -> np.float32:
    """1 / ``x``; 1 / +-0 = +-infinity, 1 / +-infinity = +-0; zero above 2^126 (exclusive)."""
    bits = _bits(x)
    magnitude = np.int32(bits & _MAGNITUDE)
    mantissa = np.int32(bits & _MANTISSA)
    segment = np.int32(mantissa >> _SEGMENT_SHIFT)
    d = np.float32(
        _float(np.int32(mantissa | _ONE_BITS))
        - _float(np.int32(np.int32(mantissa & _SEGMENT_START) | _ONE_BITS))
    )
    bits_of_mantissa = _bits(
        _quadratic(_RECIPROCAL0[segment], _RECIPROCAL1[segment], _RECIPROCAL2[segment], d)
    )
    power = np.int32(_BIAS - np.int32(magnitude >> _MANTISSA_BITS))
    result = np.int32(bits_of_mantissa + np.int32(power << _MANTISSA_BITS))
    result = np.int32(0) if result < _MIN_NORMAL_BITS else result
    result = _INFINITY_BITS if magnitude < _MIN_NORMAL_BITS else result
    signed = _float(np.int32(result | np.int32(bits & _SIGN)))
    return _NAN if magnitude > _INFINITY_BITS else signed


@_scalar
def rsqrt(x: np.float32) -> np.float32:
    """1 / sqrt(``x``); +-0 gives infinity, infinity gives zero, a negative number NaN."""
    bits = _bits(x)
    exponent = np.int32(np.int32(bits >> _MANTISSA_BITS) - _BIAS)
    odd = np.int32(exponent & 1)
    mantissa = np.int32(bits & _MANTISSA)
    segment = np.int32(np.int32(mantissa >> _SEGMENT_SHIFT) + np.int32(odd * SEGMENTS))
    d = np.float32(
        _float(np.int32(mantissa | _ONE_BITS))
        - _float(np.int32(np.int32(mantissa & _SEGMENT_START) | _ONE_BITS))
    )
    bits_of_mantissa = _bits(_quadratic(_RSQRT0[segment], _RSQRT1[segment], _RSQRT2[segment], d))
    power = np.int32(np.int32(odd - exponent) >> np.int32(1))
    result = _float(np.int32(bits_of_mantissa + np.int32(power << _MANTISSA_BITS)))
    magnitude = np.int32(bits & _MAGNITUDE)
    result = _ZERO if magnitude == _INFINITY_BITS else result
    result = _NAN if (bits < 0) | (magnitude > _INFINITY_BITS) else result
    return _INFINITY if magnitude < _MIN_NORMAL_BITS else result


@_scalar
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + exp(-``x``)), composed of ``exp``, ``add`` and ``reciprocal``."""
    return reciprocal(add(_ONE, exp(-np.float32(x))))


@njit(cache=True)
def add_lanes(lanes: np.ndarray) -> np.float32:
    """Sum float32 [LANES] as a tree: lane j takes lane j + 8, then j + 4, j + 2, j + 1."""
    width = LANES // 2
    while width:
        for lane in range(width):
            lanes[lane] = add(lanes[lane], lanes[lane + width])
        width //= 2
    return lanes[0]


@njit(cache=True)
def sum_lanes(values: np.ndarray) -> np.float32:
    """Sum of float32 [n] in the written order.

    Lane j of ``LANES`` starts at zero and adds elements j, j + LANES, ... one after the other; the
    lanes are then added pairwise, (0 + 8), (1 + 9), ..., then 4, 2, 1 apart. Elements that are
    missing in the last round count as zero.
    """
    lanes = np.zeros(LANES, np.float32)
    whole = values.shape[0] // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            lanes[lane] = add(lanes[lane], values[start + lane])
    for lane in range(values.shape[0] - whole):
        lanes[lane] = add(lanes[lane], values[whole + lane])
    return add_lanes(lanes)


@njit(cache=True)
def sum_of_squares(values: np.ndarray) -> np.float32:
    """Sum of v * v over float32 [n], in the order of ``sum_lanes``."""
    lanes = np.zeros(LANES, np.float32)
    whole = values.shape[0] // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            value = values[start + lane]
            lanes[lane] = add(lanes[lane], mul(value, value))
    for lane in range(values.shape[0] - whole):
        value = values[whole + lane]
        lanes[lane] = add(lanes[lane], mul(value, value))
    return add_lanes(lanes)


@njit(cache=True)
def quantize_activation(row: np.ndarray, out: np.ndarray) -> np.float32:
    """Quantize finite float32 [K] to int8 [K] in ``out`` and return the scale that multiplies it.

    absmax = max(|x|, 1e-5); q = clip(rint(x * (127 * reciprocal(absmax))), -128, 127), ties to
    even; scale = absmax * float32(1 / 127).
    """
    largest = np.int32(0)
    for k in range(row.shape[0]):
        largest = max(largest, np.int32(_bits(row[k]) & _MAGNITUDE))   # floats order as their bits
    absmax = max(_float(largest), ABSMAX_FLOOR)
    inverse = mul(INT8_MAX, reciprocal(absmax))
    for k in range(row.shape[0]):
        shifted = np.float32(mul(row[k], inverse) + _ROUNDER)
        q = np.int32(_bits(shifted) - _ROUNDER_BITS)
        out[k] = np.int8(min(max(q, np.int32(-128)), np.int32(127)))
    return mul(absmax, INT8_STEP)


@njit(cache=True)
def quantize_int4(row: np.ndarray, out: np.ndarray) -> np.float32:
    """Quantize finite float32 [K] to -7..7, int8 [K] in ``out``; return the scale.

    As ``quantize_activation`` with 7 for 127: of the four-bit keys and values.
    """
    largest = np.int32(0)
    for k in range(row.shape[0]):
        largest = max(largest, np.int32(_bits(row[k]) & _MAGNITUDE))
    absmax = max(_float(largest), ABSMAX_FLOOR)
    inverse = mul(INT4_MAX, reciprocal(absmax))
    for k in range(row.shape[0]):
        shifted = np.float32(mul(row[k], inverse) + _ROUNDER)
        q = np.int32(_bits(shifted) - _ROUNDER_BITS)
        out[k] = np.int8(min(max(q, np.int32(-7)), np.int32(7)))
    return mul(absmax, INT4_STEP)


@_scalar
def _e4m3_units(x: np.float32) -> np.int32:
    """The E4M3 number nearest to ``x``, ties to even, at most 448, as an integer times 2^-9."""
    bits = np.int32(_bits(x) & _MAGNITUDE)
    odd = np.int32(np.int32(bits >> _E4M3_CUT_BITS) & 1)
    rounded = np.int32(np.int32(np.int32(bits + _E4M3_HALF) + odd) & np.int32(~_E4M3_CUT))
    normal = np.float32(min(_float(rounded), E4M3_MAX) * E4M3_UNITS)
    shifted = np.float32(mul(_float(bits), E4M3_UNITS) + _ROUNDER)
    subnormal = np.float32(shifted - _ROUNDER)
    magnitude = np.int32(normal if _float(bits) >= _E4M3_NORMAL else subnormal)
    return np.int32(-magnitude) if _bits(x) < 0 else magnitude


@njit(cache=True)
def quantize_activation_fp8(row: np.ndarray, out: np.ndarray) -> np.float32:
    """Quantize finite float32 [K] to E4M3, int32 [K] in units of 2^-9; return the scale.

    absmax = max(|x|, 1e-5); code = e4m3(x * (448 * reciprocal(absmax))), to nearest, ties to even,
    at most 448; scale = absmax * float32(1 / 448), which multiplies the E4M3 number.
    """
    largest = np.int32(0)
    for k in range(row.shape[0]):
        largest = max(largest, np.int32(_bits(row[k]) & _MAGNITUDE))
    absmax = max(_float(largest), ABSMAX_FLOOR)
    inverse = mul(E4M3_MAX, reciprocal(absmax))
    for k in range(row.shape[0]):
        out[k] = _e4m3_units(mul(row[k], inverse))
    return mul(absmax, E4M3_STEP)


@_scalar
def scale_sum(total: int, scale_x: np.float32, scale_w: np.float32) -> np.float32:
    """Output of an integer dot product: (float32(total) * scale_x) * scale_w.

    The conversion rounds once, to nearest even, from int32 as well as from int64.
    """
    return mul(mul(np.float32(total), scale_x), scale_w)


@_scalar
def add_group(total: np.float32, group_sum: int, scale_w: np.float32) -> np.float32:
    """One step of the output of a dot product with a scale per group of the weight.

    total + float32(group_sum) * scale_w, from +0 through the groups in order; the last total is
    multiplied by scale_x.
    """
    return add(total, mul(np.float32(group_sum), scale_w))


@njit(cache=True)
def _quantize_rows(x: np.ndarray, q: np.ndarray, scale: np.ndarray) -> None:
    for n in range(x.shape[0]):
        scale[n] = quantize_activation(x[n], q[n])


def quantize_activations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``quantize_activation`` of each row of float32 [N, K]: (int8 [N, K], float32 scale [N])."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    q = np.empty(x.shape, np.int8)
    scale = np.empty(x.shape[0], np.float32)
    _quantize_rows(x, q, scale)
    return q, scale


@njit(cache=True)
def _quantize_rows_fp8(x: np.ndarray, units: np.ndarray, scale: np.ndarray) -> None:
    for n in range(x.shape[0]):
        scale[n] = quantize_activation_fp8(x[n], units[n])


def quantize_activations_fp8(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``quantize_activation_fp8`` of each row of float32 [N, K]: (int32 [N, K], float32 [N])."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    units = np.empty(x.shape, np.int32)
    scale = np.empty(x.shape[0], np.float32)
    _quantize_rows_fp8(x, units, scale)
    return units, scale


def _scaled_frequencies(frequencies: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    """Rotary frequencies (radians per position) after ``scaling``."""
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    context = scaling.original_max_position_embeddings
    turns = context * frequencies / (2 * math.pi)   # over the original context
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    share = np.clip((turns - low) / (high - low), 0, 1)   # of the unscaled frequency
    return share * frequencies + (1 - share) * frequencies / scaling.factor


def rope_factors(head_dim: int, theta: float, scaling: RopeScaling) -> np.ndarray:
    """What ``scaling`` divides each rotary frequency by: float64 [head_dim / 2]."""
    frequencies = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    return frequencies / _scaled_frequencies(frequencies, scaling)


def rope_tables(config: ModelConfig, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables (cos, sin) of the rotary angles at ``positions``: float32 [positions, head_dim / 2].

    Column j turns by rope_theta^(-2 j / head_dim) radians per position, after ``rope_scaling``
    (``transformers`` ``modeling_rope_utils``). Computed in float64 and rounded once.
    """
    exponents = np.arange(0, config.head_dim, 2) / config.head_dim
    frequencies = config.rope_theta**-exponents
    if config.rope_scaling is not None:
        frequencies = _scaled_frequencies(frequencies, config.rope_scaling)
    angles = np.multiply.outer(np.asarray(positions, np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
