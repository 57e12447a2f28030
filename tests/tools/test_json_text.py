"""JSON holds no NaN and no infinity, and the sentence says where one was."""

import json

import pytest

from trilobite.cli.console import Output
from trilobite.errors import OutputError
from trilobite.tools.json_text import json_text


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
