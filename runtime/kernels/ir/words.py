"""What inner loops are made of in LLVM IR, whatever the instruction set.

Numba's own vectorizer finds neither byte dot products nor a layout with rows in lanes, so the
innermost loops are written as IR by ``numba.extending.intrinsic``. An address is an int64
(``array.ctypes.data``); loads and stores need no alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from ....tools.compiled import types

__all__ = [
    "FLOAT",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "L1",
    "L2",
    "at",
    "constant",
    "declare",
    "load",
    "opaque_address",
    "prefetch",
    "repeat",
    "splat",
    "store",
    "writes_memory",
]

INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT = ir.FloatType()

Builder = ir.IRBuilder
Value = ir.Value

# Into the L2 cache: fewer lines can be on their way to the L1 at once, too few for the memory.
_PREFETCH_READ, _PREFETCH_DATA = 0, 1
L1, L2 = 3, 1   # the caches to prefetch into


def constant(kind: ir.Type, value: int) -> ir.Constant:
    """A scalar, or a vector with ``value`` in every lane. Bytes may be written unsigned."""
    if not isinstance(kind, ir.VectorType):
        return ir.Constant(kind, value)
    limit = 1 << kind.element.width - 1
    return ir.Constant(kind, [(value + limit) % (2 * limit) - limit] * kind.count)


def at(builder: Builder, address: Value, index: Value, stride: int) -> Value:
    """``address`` + ``index`` * ``stride``, in bytes."""
    return builder.add(address, builder.mul(index, constant(INT64, stride)))


def _pointer(builder: Builder, address: Value, kind: ir.Type, offset: int) -> Value:
    moved = builder.add(address, constant(INT64, offset))
    return builder.inttoptr(moved, kind.as_pointer())


def load(builder: Builder, address: Value, kind: ir.Type, offset: int = 0) -> Value:
    """The ``kind`` at ``address`` + ``offset``."""
    return builder.load(_pointer(builder, address, kind, offset), align=1)


def store(builder: Builder, value: Value, address: Value, offset: int = 0) -> None:
    """Write ``value`` to ``address`` + ``offset``."""
    builder.store(value, _pointer(builder, address, value.type, offset), align=1)


def declare(builder: Builder, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    """An LLVM intrinsic function of the module under construction."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name=name)


def prefetch(builder: Builder, address: Value, offset: int, cache: int = L2) -> None:
    """Ask for the cache line at ``address`` + ``offset``; it need not be mapped."""
    pointer = _pointer(builder, address, INT8, offset)
    function = declare(
        builder, "llvm.prefetch.p0", ir.VoidType(), [pointer.type, INT32, INT32, INT32]
    )
    hints = (_PREFETCH_READ, cache, _PREFETCH_DATA)
    builder.call(function, [pointer, *(constant(INT32, hint) for hint in hints)])


def splat(builder: Builder, value: Value, kind: ir.VectorType) -> Value:
    """``value`` in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, constant(INT32, 0))
    lanes = constant(ir.VectorType(INT32, kind.count), 0)
    return builder.shuffle_vector(first, undefined, lanes)


def opaque_address(builder: Builder, address: Value) -> Value:
    """``address``, so that what is loaded from it is loaded here, not kept from an earlier load."""
    kind = ir.FunctionType(INT64, [INT64])
    return builder.call(ir.InlineAsm(kind, "", "=r,0", side_effect=False), [address])


def repeat(
    builder: Builder,
    count: Value,
    carried: Sequence[Value],
    body: Callable[[Value, list[Value]], list[Value]],
) -> list[Value]:
    """``for index in range(count): carried = body(index, carried)``; gives the last ``carried``."""
    before = builder.block
    check = builder.append_basic_block("check")
    inside = builder.append_basic_block("inside")
    after = builder.append_basic_block("after")
    builder.branch(check)
    builder.position_at_end(check)
    index = builder.phi(INT64)
    values = [builder.phi(value.type) for value in carried]
    builder.cbranch(builder.icmp_unsigned("<", index, count), inside, after)
    builder.position_at_end(inside)
    first_values = [constant(INT64, 0), *carried]
    new = [builder.add(index, constant(INT64, 1)), *body(index, list(values))]
    for phi, first, later in zip([index, *values], first_values, new, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, builder.block)
    builder.branch(check)
    builder.position_at_end(after)
    return values


def writes_memory(
    arguments: int, body: Callable[[Builder, list[Value]], None]
) -> tuple[types.Type, Callable[..., Value]]:
    """What an ``intrinsic`` of int64 ``arguments`` returns, if it gives no value: see Numba."""

    def generate(context: Any, builder: Builder, _: Any, values: list[Value]) -> Value:
        body(builder, values)
        return context.get_dummy_value()

    return types.void(*[types.int64] * arguments), generate
