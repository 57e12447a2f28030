"""Shifters, leading zeros and delays, out of which the pipelines are made.

Functions that add logic to a module ``m`` and return its result.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["delay", "delay_pulse", "leading_zeros", "shift_right_sticky"]


def delay(m: Module, value: Value, cycles: int, name: str) -> Value:
    """``value`` (a signal or a view), ``cycles`` cycles later; its shape is kept.

    The registers have no reset: on Xilinx devices a chain of them is a shift register in LUTs.
    """
    for cycle in range(1, cycles + 1):
        later = Signal(value.shape(), name=f"{name}_{cycle}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value


def delay_pulse(m: Module, value: Value, cycles: int, name: str) -> Value:
    """``value``, one bit, ``cycles`` cycles later; a reset drops what is under way."""
    for cycle in range(1, cycles + 1):
        later = Signal(name=f"{name}_{cycle}")
        m.d.sync += later.eq(value)
        value = later
    return value


def shift_right_sticky(m: Module, value: Value, amount: Value, name: str) -> Value:
    """``value >> amount`` with one bit more below: whether a one was shifted out (the sticky bit).

    One multiplexer per bit of ``amount``.
    """
    width = len(value)
    shifted: Value = Cat(0, value)
    for bit in reversed(range(len(amount))):
        step = min(1 << bit, width)
        moved = Cat(shifted[:step + 1].any(), shifted[step + 1:])
        level = Signal(width + 1, name=f"{name}_{bit}")
        m.d.comb += level.eq(Mux(amount[bit], moved, shifted))
        shifted = level
    return shifted


def leading_zeros(m: Module, value: Value, name: str) -> tuple[Value, Value]:
    """Number of zeros above the highest one of ``value``, and whether there is none at all.

    A tree over halves, so that the higher bits of the count, which shift by more, come first. The
    count of 0 is unspecified.
    """
    width = len(value)
    size = max(2, 1 << (width - 1).bit_length())
    count, zero = _leading_zeros(m, Cat(*[0] * (size - width), value), name)
    return count, zero


def _leading_zeros(m: Module, value: Value, name: str) -> tuple[Value, Value]:
    if len(value) == 2:
        return ~value[1], ~value.any()
    half = len(value) // 2
    low_count, low_zero = _leading_zeros(m, value[:half], f"{name}l")
    high_count, high_zero = _leading_zeros(m, value[half:], f"{name}h")
    count = Signal(len(low_count) + 1, name=f"{name}_count")
    zero = Signal(name=f"{name}_zero")
    m.d.comb += [
        count.eq(Cat(Mux(high_zero, low_count, high_count), high_zero)),
        zero.eq(low_zero & high_zero),
    ]
    return count, zero
