import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import TrilobiteError
from trilobite.runtime.stop_strings import StopStrings


def cut(pieces, *stops):
    strings = StopStrings(stops)
    return list(strings.cut(iter(pieces))), strings.found


def test_a_text_ends_before_the_first_stop_string():
    assert cut(["one tw", "o three"], "three", "two") == (["one "], "two")


def test_nothing_is_held_back_that_begins_no_stop_string():
    assert cut(["ab", "a", "c", "d"], "abad") == (["abac", "d"], None)


def test_what_began_a_stop_string_is_shown_at_the_end():
    assert cut(["x", "</"], "</s>") == (["x", "</"], None)


def test_nothing_more_is_taken_after_a_stop_string():
    pieces = iter(["a.", "b"])
    assert list(StopStrings(["."]).cut(pieces)) == ["a"]
    assert list(pieces) == ["b"]


TEXT = st.text("ab.", max_size=12)


@given(st.lists(TEXT, max_size=8), st.lists(st.text("ab.", min_size=1, max_size=4), max_size=3))
def test_it_is_what_a_search_in_the_whole_text_finds(pieces, stops):
    text = "".join(pieces)
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    shown, found = cut(pieces, *stops)
    # A piece may end before a longer string that begins earlier is complete.
    assert text.startswith("".join(shown))
    assert (found is None) == (not ends)
    if found is None:
        assert "".join(shown) == text
    else:
        assert text[len("".join(shown)):].startswith(found)


@pytest.mark.parametrize("stops, said", [([""], "empty"), (["a"] * 65, "64")])
def test_what_is_no_stop_string_is_refused(stops, said):
    with pytest.raises(TrilobiteError, match=said):
        StopStrings(stops)
