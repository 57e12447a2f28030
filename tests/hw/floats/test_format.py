import pytest

from trilobite.hw.floats import FLOAT32, FloatFormat
from trilobite.hw.floats.from_integer import IntegerToFloat
from trilobite.hw.floats.to_integer import FloatToInteger
from trilobite.hw.unused import never_elaborated


def test_float32_is_the_one_of_ieee():
    assert (FLOAT32.width, FLOAT32.bias, FLOAT32.special_exponent) == (32, 127, 255)
    assert (FLOAT32.infinity, FLOAT32.nan) == (0x7F800000, 0x7FC00000)
    assert FLOAT32.layout.size == 32
    assert FLOAT32.layout.from_bits(0xC0490FDB).sign == 1
    assert FLOAT32.layout.from_bits(0xC0490FDB).exponent == 128
    assert FLOAT32.layout.from_bits(0xC0490FDB).mantissa == 0x490FDB


@pytest.mark.parametrize(("widths", "error", "sentence"), [
    ((1, 3), ValueError, "exponent_width must be 2 to 11, not 1"),
    ((12, 3), ValueError, "exponent_width must be 2 to 11, not 12"),
    ((4, 0), ValueError, "mantissa_width must be 1 to 52, not 0"),
    ((4, 53), ValueError, "mantissa_width must be 1 to 52, not 53"),
    ((4.0, 3), TypeError, "exponent_width must be an integer, not 4.0"),
    ((4, True), TypeError, "mantissa_width must be an integer, not True"),
])
def test_impossible_widths_are_refused(widths, error, sentence):
    with pytest.raises(error, match=sentence):
        FloatFormat(*widths)


def test_integers_without_bits_are_refused():
    with never_elaborated(), pytest.raises(ValueError, match="at least 1 bit, not 0"):
        IntegerToFloat(FLOAT32, 0)
    with never_elaborated(), pytest.raises(ValueError, match="at least 2 bits, not 1"):
        FloatToInteger(FLOAT32, 1)
