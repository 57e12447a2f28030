"""Floating point from its definition: exact fractions, rounded by looking for the nearest number.

Nothing is shared with the units in gates: a format here is the sorted list of its finite values.
"""

import bisect
from fractions import Fraction

NAN = "nan"


class FractionFloats:
    """All numbers of an IEEE-like format; the rules are those of ``numerics``."""

    def __init__(self, exponent_width, mantissa_width):
        self.mantissa_width = mantissa_width
        self.sign_bit = 1 << (exponent_width + mantissa_width)
        self.infinity = ((1 << exponent_width) - 1) << mantissa_width
        self.smallest_normal = 1 << mantissa_width
        self.bias = (1 << (exponent_width - 1)) - 1
        self.magnitudes = [self._value(bits) for bits in range(self.infinity)]
        last_step = self.magnitudes[-1] - self.magnitudes[-2]
        self.overflow = self.magnitudes[-1] + last_step / 2

    def _value(self, bits):
        exponent, mantissa = divmod(bits, self.smallest_normal)
        hidden = self.smallest_normal if exponent else 0
        return (Fraction(hidden + mantissa)
                * Fraction(2) ** (max(exponent, 1) - self.bias - self.mantissa_width))

    def decode(self, bits):
        """(sign, magnitude): a Fraction or infinity; or NAN. Subnormal numbers are zero."""
        sign, magnitude = bits >= self.sign_bit, bits % self.sign_bit
        if magnitude > self.infinity:
            return NAN
        if magnitude == self.infinity:
            return sign, float("inf")
        if magnitude < self.smallest_normal:
            return sign, Fraction(0)
        return sign, self.magnitudes[magnitude]

    def encode(self, sign, magnitude):
        """Bits of the nearest number, ties to the even one, subnormal ones flushed."""
        if magnitude >= self.overflow:
            bits = self.infinity
        else:
            above = bisect.bisect_left(self.magnitudes, magnitude, hi=self.infinity - 1)
            candidates = range(max(above - 1, 0), above + 1)
            bits = min(candidates, key=lambda bits: (abs(self.magnitudes[bits] - magnitude),
                                                     bits % 2))
        flushed = 0 if bits < self.smallest_normal else bits
        return flushed + self.sign_bit * sign

    def add(self, a, b):
        x, y = self.decode(a), self.decode(b)
        if NAN in (x, y):
            return NAN
        (sign_x, x), (sign_y, y) = x, y
        if x == y == float("inf"):
            return NAN if sign_x != sign_y else a
        if float("inf") in (x, y):
            return a if x == float("inf") else b
        total = (-x if sign_x else x) + (-y if sign_y else y)
        if total == 0:
            return self.encode(sign_x and sign_y, total)
        return self.encode(total < 0, abs(total))

    def subtract(self, a, b):
        return self.add(a, b ^ self.sign_bit)

    def multiply(self, a, b):
        x, y = self.decode(a), self.decode(b)
        if NAN in (x, y):
            return NAN
        sign = x[0] != y[0]
        if float("inf") in (x[1], y[1]):
            return NAN if 0 in (x[1], y[1]) else self.infinity + self.sign_bit * sign
        return self.encode(sign, x[1] * y[1])

    def compare(self, a, b):
        """(a > b, a == b)."""
        x, y = self.decode(a), self.decode(b)
        if NAN in (x, y):
            return False, False
        x, y = (-value if sign else value for sign, value in (x, y))
        return x > y, x == y

    def from_integer(self, integer, exponent=0):
        return self.encode(integer < 0, abs(integer) * Fraction(2) ** exponent)

    def to_integer(self, a, width):
        """rint, clipped to a signed integer; infinity and NaN by their sign."""
        low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
        decoded = self.decode(a)
        if decoded == NAN or decoded[1] == float("inf"):
            return low if a >= self.sign_bit else high
        sign, magnitude = decoded
        return min(max(round(-magnitude if sign else magnitude), low), high)
