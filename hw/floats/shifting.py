"""Shifters, leading zeros and delays, out of which the pipelines are made.

Functions that add logic to a module ``m`` and return its result.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["delay", "delay_pulse", "leading_zeros", "ones_in_fours", "shift_by_fours",
           "shifted_out"]


def delay(m: Module, value: Value, cycles: int, name: str) -> Value:
    """``value`` (a signal or a view), ``cycles`` cycles later; its shape is kept.

    The registers have no reset: on Xilinx devices a chain of them is a shift register in LUTs.
    A value of no bits has none.
    """
    if not len(Value.cast(value)):
        return value
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


def shifted_out(m: Module, value: Value, amount: Value, name: str) -> Value:
    """Whether ``value >> amount`` loses a one: the sticky bit, beside the shifter.

    Each bit of ``value`` knows the amounts that lose it, so that it is a sum of products.
    """
    lost = Signal(len(value), name=f"{name}_lost")
    m.d.comb += [lost[place].eq(value[place] & (amount > place)) for place in range(len(value))]
    return lost.any()


def ones_in_fours(value: Value) -> Value:
    """Which four bits of ``value`` hold a one, counted from the top; the last ones may be fewer."""
    return Cat(four.any() for four in _fours(value))


def shift_by_fours(m: Module, value: Value, ones: Value, name: str) -> tuple[Value, Value, Value]:
    """``value``, shifted by whole fours until its highest one is among the top four bits.

    Also the number of zeros that were above that one, the lowest two bits of which are those that
    still are; and whether there is no one at all, when the others are unspecified. The shifted
    value has as many zeros more below as make its width a multiple of four. ``ones`` is
    ``ones_in_fours(value)``, which may be known before ``value`` is looked at.
    """
    from_top = _fours(value)
    padded = Cat(*reversed(from_top))
    count, zero = leading_zeros(m, ones[::-1], f"{name}_fours")
    above = Signal(2, name=f"{name}_above")
    shifted = Signal(len(padded), name=f"{name}_shifted")
    with m.Switch(count):
        for number, four in enumerate(from_top):
            with m.Case(number):
                m.d.comb += [
                    above.eq(Cat(~four[3] & (four[2] | ~four[1]), ~four[3] & ~four[2])),
                    shifted.eq(Cat(*[0] * (4 * number), padded)),
                ]
    return shifted, Cat(above, count), zero


def _fours(value: Value) -> list[Value]:
    """The bits of ``value`` by fours, the highest ones first, with zeros behind the last ones."""
    padded = Cat(*[0] * (-len(value) % 4), value)
    return [padded[place - 4:place] for place in range(len(padded), 0, -4)]


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
