"""The rule of numbers: every float32 operation of the runtime and of the hardware, defined once.

Elementwise arithmetic is IEEE binary32, round to nearest even, never fused; a rounded result that
is subnormal becomes zero with its sign. Operands are normal numbers, zeros, infinities or NaN: what
comes from outside passes through ``flush`` once. The bits of a NaN are not specified.

``float32`` holds the operations, ``functions`` the elementary functions, from ``tables``; ``sums``
the written orders of sums, ``activations`` the rounding of a matmul's inputs, ``attention`` that of
softmax weights, ``rope`` the rotary angles, ``hadamard`` rotated inputs.
"""

from .activations import (
    ABSMAX_FLOOR,
    INT8_MAX,
    INT8_STEP,
    quantize_activation,
    quantize_activation_fp8,
    quantize_activations,
    quantize_activations_fp8,
    quantize_int4,
)
from .attention import ATTENTION_TILE, WEIGHT_FLOOR, WEIGHT_MAX, WEIGHT_STEP
from .float32 import add, flush, flush_array, mul, sub
from .functions import (
    EXP_HIGHEST,
    EXP_LOWEST,
    EXP_STEP_HIGH,
    EXP_STEP_LOW,
    EXP_STEPS_PER_UNIT,
    exp,
    gelu_tanh,
    reciprocal,
    rsqrt,
    sigmoid,
    soft_cap,
    tanh,
)
from .hadamard import rotate, rotate_back
from .rope import query_factors, rope_factors, rope_rows, rope_tables
from .sums import LANES, add_group, add_lanes, scale_sum, sum_lanes, sum_of_squares

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
    "gelu_tanh",
    "mul",
    "quantize_activation",
    "quantize_activation_fp8",
    "quantize_activations",
    "quantize_activations_fp8",
    "quantize_int4",
    "query_factors",
    "reciprocal",
    "rope_factors",
    "rope_rows",
    "rope_tables",
    "rotate",
    "rotate_back",
    "rsqrt",
    "scale_sum",
    "sigmoid",
    "soft_cap",
    "sub",
    "sum_lanes",
    "sum_of_squares",
    "tanh",
]
