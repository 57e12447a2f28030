"""JSON holds no NaN and no infinity, and the sentence says where one was."""

import json

import pytest

from trilobite.cli.console import Output
from trilobite.errors import OutputError
from trilobite.tools.json_text import json_text, parse_json


def test_what_is_finite_is_written():
    value = {"a": [1, 2.5, None, {"b": True}], "c": "é"}
    assert json.loads(json_text(value)) == value
    assert json_text(value, indent=None) == json.dumps(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_with_its_place(tmp_path, number):
    path = tmp_path / "out.json"
    path.write_text("older")
    with pytest.raises(OutputError, match=r"JSON: estimates\[1\]\.rate is -?(nan|inf), and must"):
        Output(str(path)).json({"estimates": [{"rate": 1.0}, {"rate": number}]})
    assert path.read_text() == "older"


@pytest.mark.parametrize(("text", "said"), [
    ('{"a": [{"b": NaN}]}', r"^a\[0\]\.b is NaN, which is not a finite number$"),
    ('{"a": {"b": -1e999}}', r"^a\.b is -1e999, which is not a finite number$"),
    ('[1, ' + "7" * 5000 + "]", r"^\[1\] is an integer of 5000 digits$"),
    ("Infinity", "^it is Infinity, which"), ('{"a": NaN, "a": 1}', "^it is NaN, which"),
])
def test_a_number_that_is_not_taken_is_told_by_its_place(text, said):
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_what_is_json_is_read():
    text = '{"a": [1, 2.5, null, {"b": true}], "c": "\u00e9", "d": ' + "9" * 400 + "}"
    assert parse_json(text) == json.loads(text)
    with pytest.raises(RecursionError):
        parse_json("[" * 100_000)
