import json

import pytest

from support.command import refuses, run, run_json


def test_json_is_the_record_that_the_folder_holds(ternary, tmp_path):
    value = run_json("export", ternary, "--to", "hex", "-o", tmp_path / "hex", "--type", "bin")
    assert value == json.loads((tmp_path / "hex" / "manifest.json").read_text())
    assert value["target"] == "hex" and value["type"] == "bin"


def test_a_table_says_what_became_of_the_tensors(ternary, tmp_path):
    shown = run("export", ternary, "--to", "gguf", "-o", tmp_path / "m.gguf").stdout
    assert "as they were" in shown and "Written to" in shown
    assert (tmp_path / "m.gguf").stat().st_size > 1 << 20


@pytest.mark.parametrize(("options", "said"), [
    (["--to", "gguf", "--opset", "23"], "--opset is not an option of gguf; it is of onnx"),
    (["--to", "onnx", "--word-bytes", "16"], "--word-bytes is not an option of onnx; it is of hex"),
    (["--to", "hex", "--word-bytes", "0"], "at least 1, not 0"),
    (["--to", "gguf", "--type", "q9"], "no type 'q9'"),
])
def test_bad_input_is_one_sentence(ternary, tmp_path, options, said):
    assert refuses(run("export", ternary, "-o", tmp_path / "out", *options), said)
    assert list(tmp_path.iterdir()) == []
