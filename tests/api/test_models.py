"""Models by the Python interface: results as objects, progress, nothing printed."""

import dataclasses

import pytest

import trilobite
from support.watch import Watch
from trilobite.errors import FormatError, TrilobiteError


@pytest.fixture(scope="module")
def model():
    return trilobite.load("demo-llama")


def test_a_generation_is_the_pieces_of_the_model_and_its_tokens(model, capfd):
    watch = Watch()
    result = trilobite.generate(model, "def add(", 12, temperature=0.8, seed=2, progress=watch)
    iterated = model.generate("def add(", 12, temperature=0.8, seed=2)
    assert result.text == "".join(iterated) == "".join(watch.results)
    assert result.tokens == tuple(iterated.tokens)
    assert result.prompt_tokens == tuple(model.tokenizer.encode("def add("))
    assert watch.total == 12 and watch.done == len(result.tokens)
    assert result.prefill_rate > 0 and result.decode_rate > 0
    assert capfd.readouterr() == ("", "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.text = ""


def test_one_token_has_no_decode_rate(model):
    assert trilobite.generate(model, "def add(", 1).decode_rate is None


def test_an_evaluation_is_the_perplexity_of_the_model(model, tmp_path):
    file = tmp_path / "text.py"
    file.write_text("import os\n" * 200)
    watch = Watch()
    result = trilobite.evaluate(model, file, progress=watch)
    assert result.perplexity == model.perplexity(file.read_text())
    assert result.tokens == watch.total == watch.done
    assert trilobite.evaluate("demo-llama", file, tokens=100).tokens == 99
    with pytest.raises(TrilobiteError, match="at least 2 tokens, not -5"):
        trilobite.evaluate(model, file, tokens=-5)


def test_a_description_has_every_tensor():
    described = trilobite.inspect("demo-bitnet")
    assert described.parameters == 3_414_272 and described.quantization is None
    assert described.bytes == sum(tensor.bytes for tensor in described.tensors)
    names = {tensor.name for tensor in described.tensors}
    assert names == set(described.config.tensor_shapes())


def test_loading_counts_tensors():
    watch = Watch()
    trilobite.load("demo-llama", progress=watch)
    assert watch.total == watch.done == len(watch.steps) == len(
        trilobite.inspect("demo-llama").tensors)


def test_a_bench_has_a_row_per_thread_count_and_length():
    watch = Watch()
    result = trilobite.bench("demo-llama", contexts=(3, 5), prompts=(4,), steps=1, progress=watch)
    assert [row.context for row in result.decode] == [3, 5]
    assert [row.tokens for row in result.prefill] == [4]
    assert watch.total == watch.done == 3
    assert result.to_json()["decode"][0]["tokens_per_second"] == result.decode[0].tokens_per_second
    for wrong in ({"steps": 0}, {"contexts": (0,)}, {"thread_counts": (99999,)}, {"seed": -1}):
        with pytest.raises(TrilobiteError):
            trilobite.bench("demo-llama", **wrong)


def test_an_export_takes_the_options_of_its_target(ternary, tmp_path):
    watch = Watch()
    record = trilobite.export(ternary, tmp_path / "hex", "hex", word_bytes=8, progress=watch)
    assert (record.target, record.type) == ("hex", "hex") and 0 < watch.done <= watch.total
    with pytest.raises(FormatError, match="'gguf2' is unknown; known are gguf, hf, onnx, hex"):
        trilobite.export(ternary, tmp_path / "x", "gguf2")


def test_key_scales_are_measured_with_progress(tmp_path):
    (tmp_path / "t.py").write_text("import os\n" * 60)
    text = trilobite.calibration("demo-llama", tmp_path / "t.py")
    watch = Watch()
    result = trilobite.calibrate_kv("demo-llama", tmp_path / "keys", text, watch)
    assert result.file == tmp_path / "keys" and result.file.is_file()
    assert result.tokens == watch.total == watch.done and result.source == "t.py"


def test_everything_public_is_there():
    for name in trilobite.__all__:
        assert getattr(trilobite, name) is not None
    assert set(trilobite.__all__) == {*trilobite._HOMES, "__version__"}
