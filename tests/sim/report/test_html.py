import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.sim.descriptions.quantity import Range
from trilobite.sim.report.html import Markup, join, tag
from trilobite.sim.report.numbers import digits, percent, ranged, si
from trilobite.sim.report.svg import Scale


def test_tags_escape_children_and_attributes():
    assert tag("p", "a < b & c", class_="x", aria_label='"') == (
        '<p class="x" aria-label="&quot;">a &lt; b &amp; c</p>'
    )
    assert tag("p", tag("b", "1"), ["2", None, ("3",)], id=None) == "<p><b>1</b>23</p>"
    assert tag("meta", name="a", content="b") == '<meta name="a" content="b">'
    assert isinstance(join("<", Markup("<br>")), Markup)
    assert join("<", Markup("<br>"), 5) == "&lt;<br>5"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.004, "0.004"), (0.0994, "0.099"), (0.5, "0.50"), (5.268, "5.27"), (9.996, "10.0"),
     (69.04, "69.0"), (99.96, "100"), (361.4, "361"), (999.6, "1,000"), (1478.6, "1,479")],
)
def test_three_digits(value, text):
    assert digits(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.3597, "s", "360 ms"), (1.04, "s", "1.04 s"), (0.99999, "s", "1.00 s"),
     (3e-9, "s", "0.003 µs"),
     (195_800_000, "B", "196 MB"), (1478.6, "token/s", "1,479 token/s"), (0, "B", "0 B"),
     (2e15, "MAC", "2,000 TMAC")],
)
def test_prefixes(value, unit, text):
    assert si(value, unit) == text


def test_a_range_has_one_prefix():
    assert ranged(Range(0.9, 1.04, 1.44), "s") == '1.04 s <small class="range">0.90–1.44</small>'


@pytest.mark.parametrize(("share", "text"), [(0.924, "92 %"), (0.004, "0.4 %"), (1.0, "100 %")])
def test_percent(share, text):
    assert percent(share) == text


def test_ticks():
    assert Scale(0, 23, 0, 1).ticks() == [0, 5, 10, 15, 20]
    assert Scale(0.2, 3.1, 0, 1).ticks() == [1, 2, 3]
    assert Scale(5, 800, 0, 1, log=True).ticks() == pytest.approx([10, 30, 100, 300])
    assert Scale(0.5, 5e4, 0, 1, log=True).ticks() == pytest.approx([1, 10, 100, 1000, 10_000])


@given(st.floats(0.01, 1e6), st.floats(1.01, 1e6), st.floats(0, 1e9), st.booleans())
def test_scales_stay_inside_their_frame(low, factor, value, log):
    scale = Scale(low, low * factor, 266, 26, log)
    assert 26 <= scale(value) <= 266
    assert scale(low) == 266
    assert scale(low * factor) == 26
