import pytest

import trilobite
from support.command import refuses, run, run_json


def test_a_text_file(ternary, tmp_path):
    file = tmp_path / "text.py"
    file.write_text("for index in range(10):\n    print(index)\n" * 20)
    value = run_json("evaluate", ternary, "--text", file)
    assert value["perplexity"] == trilobite.load(ternary).perplexity(file.read_text())
    assert value["tokens"] > 100
    float_cache = run_json("evaluate", ternary, "--text", file, "--kv", "float32")
    assert float_cache["kv"] == "float32"
    assert float_cache["perplexity"] == pytest.approx(value["perplexity"], rel=0.02)


def test_the_held_out_modules_by_default(ternary):
    value = run_json("evaluate", ternary, "--tokens", "1100")
    assert value["tokens"] == 1024
    assert 10 < value["perplexity"] < 60   # the first modules are harder than the mean of 21


@pytest.mark.parametrize(("arguments", "said"), [
    (["--text", "{tmp}/none.txt"], "none.txt"),
    (["--json", "{tmp}/none/x.json"], "none"),
    (["--tokens", "-5"], "A perplexity needs at least 2 tokens, not -5"),
    (["--tokens", "1"], "A perplexity needs at least 2 tokens, not 1"),
])
def test_bad_input_is_one_sentence(tmp_path, arguments, said):
    result = run("evaluate", "demo-llama", *(word.format(tmp=tmp_path) for word in arguments))
    assert refuses(result, said)
