"""The SiLU gate in AVX-512, bit for bit ``elementwise.silu_gate``."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .....tools.compiled import intrinsic
from .floats import exp_lanes, float_constant, flushed, reciprocal_lanes
from .vectors import FLOATS, at, load, repeat, store, writes_memory

__all__ = ["silu_vectors"]


@intrinsic
def silu_vectors(_: Any, gate: Any, up: Any, out: Any, vectors: Any) -> tuple:
    """Write ``(gate * sigmoid(gate)) * up`` of ``vectors`` times 16 float32 at three addresses."""

    def generate(builder: ir.IRBuilder, arguments: list[ir.Value]) -> None:
        gate, up, out, vectors = arguments

        def vector(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            value = load(builder, at(builder, gate, index, 64), FLOATS)
            power = exp_lanes(builder, builder.fneg(value))
            # 1 or more, so neither the sum nor its reciprocal needs to be flushed.
            sigmoid = reciprocal_lanes(builder, builder.fadd(float_constant(1.0), power))
            gated = flushed(builder, builder.fmul(value, sigmoid))
            other = load(builder, at(builder, up, index, 64), FLOATS)
            product = flushed(builder, builder.fmul(gated, other))
            store(builder, product, at(builder, out, index, 64))
            return []

        repeat(builder, vectors, [], vector)

    return writes_memory(4, generate)
