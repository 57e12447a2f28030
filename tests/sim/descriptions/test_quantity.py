import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import EstimateError
from trilobite.sim.descriptions.quantity import Corner, Quantity, Range


def make(low=1.0, nominal=2.0, high=3.0, unit="W", kind="source", source="a data sheet"):
    return Quantity(low, nominal, high, unit, kind, source)


def test_rates_and_costs_are_best_at_opposite_ends():
    assert [make().rate(corner) for corner in Corner] == [3.0, 2.0, 1.0]
    assert [make().cost(corner) for corner in Corner] == [1.0, 2.0, 3.0]


def test_opposite_corner():
    assert [corner.opposite for corner in Corner] == [Corner.WORST, Corner.NOMINAL, Corner.BEST]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": 2.5}, "low <= nominal <= high does not hold"),
        ({"high": 1.5}, "low <= nominal <= high does not hold"),
        ({"low": -1.0}, "finite and not negative"),
        ({"high": math.inf}, "finite and not negative"),
        ({"nominal": math.nan}, "finite and not negative"),
        ({"kind": "guess"}, "kind 'guess' is unknown; known are rtl"),
        ({"unit": " "}, "unit and source must both say something"),
        ({"source": ""}, "unit and source must both say something"),
    ],
)
def test_impossible_quantities_are_refused(changes, message):
    with pytest.raises(EstimateError, match=message):
        make(**changes)


def test_counts_are_exact_whole_numbers():
    assert make(3, 3, 3).is_count
    assert make(3, 3, 3).count == 3
    assert not make(3.5, 3.5, 3.5).is_count
    assert not make(2, 3, 4).is_count


@given(st.tuples(*[st.floats(0, 1e9)] * 3).map(sorted), st.booleans())
def test_a_range_is_ordered_whether_more_is_better_or_worse(values, falling):
    ends = values[::-1] if falling else values
    result = Range.of(dict(zip(Corner, ends, strict=True)))
    assert result == Range(*values)
