"""The reference of the JSON is what the commands write."""

import pytest
from json_reference import COMMANDS, SLOW, read_meanings, section, sections, types, written

MEANINGS = read_meanings()


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in COMMANDS])
def test_the_page_has_what_a_command_writes(name, tmp_path):
    # else run docs/extensions/json_reference.py
    assert sections()[name] == section(name, written(name, tmp_path), MEANINGS[name])


def test_the_page_has_a_section_for_each_command():
    assert list(sections()) == list(COMMANDS)
    assert MEANINGS.keys() == COMMANDS.keys()


def test_meanings_say_how_far_down_the_page_goes():
    value = {"a": {"x": 1, "y": 2.5}, "b": [{"c": None}, {"c": [1]}, {"c": []}], "d": {"e": []}}
    assert dict(types(value, {"a": "", "b": "", "d": ""})) == {
        "a": "object", "b": "array of object", "d": "object"}
    assert sorted(types(value, {"a.*": "", "b[].c": "", "d.e": ""})) == [
        ("a.*", "integer"), ("a.*", "number"), ("b[].c", "array"), ("b[].c", "array of integer"),
        ("b[].c", "null"), ("d.e", "array")]


def test_a_section_joins_types():
    meanings = {"a.*": "one", "b[].c": "two"}
    values = [{"a": {"x": 1, "y": 2.5}, "b": [{"c": None}, {"c": [1]}, {"c": []}]}]
    assert section("go", values, meanings).splitlines() == [
        "## go", "", "| key | type | meaning |", "|---|---|---|", "| `a.*` | number | one |",
        "| `b[].c` | array of integer or null | two |"]


@pytest.mark.parametrize("meanings", [{"a": ""}, {"a": "", "b": "", "c": ""}])
def test_keys_and_meanings_are_the_same(meanings):
    with pytest.raises(ValueError, match=r"differ in (b|c)$"):
        section("go", [{"a": 1, "b": 2}], meanings)
