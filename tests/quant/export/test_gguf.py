"""GGUF out and in again: llama.cpp loads it and continues as the runtime does."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

import trilobite
from support.checkpoints import VARIANTS, edit_config, write_bitnet, write_quantized, write_variant
from support.gguf_judge import run_llama_cpp, squared_relu_library, tokenize
from support.gguf_rename import rename
from trilobite.errors import CheckpointError, FormatError, OutputError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.gguf import GgufFile
from trilobite.quant.checkpoint.gguf.names import canonical_rows, paired_rows
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.formats import GroupedTernary, Int2, Int3, Int4, Int8, Ternary
from trilobite.quant.pipeline import quantize

GGUF = EXPORTERS["gguf"]
TOKENS = [0, 5, 17, 99, 3, 42]
PROMPT = "def main(arguments):"


def judge(file, tokens, **options):
    pytest.importorskip("llama_cpp")
    return run_llama_cpp(file, tokens, **options)


def as_llama_cpp_sees(path, prompt, out, type, **options):
    """Greedy tokens of the runtime on ``path`` and of llama.cpp on its export."""
    model = trilobite.load(path)
    tokens = model.tokenizer.encode(prompt)
    generation = model.generate(tokens, 24)
    list(generation)
    export(path, out, GGUF, type)
    assert tokenize(out, prompt) == tokens
    return generation.tokens, judge(out, tokens, count=24, **options)["tokens"]


@pytest.mark.parametrize("type", ["f16", "q8_0"])
def test_llama_cpp_continues_demo_llama_as_the_runtime_does(tmp_path, type):
    ours, theirs = as_llama_cpp_sees("demo-llama", PROMPT, tmp_path / "llama.gguf", type)
    assert ours == theirs


@pytest.mark.parametrize("type", ["tq1_0", "tq2_0"])
def test_llama_cpp_with_squared_relu_continues_demo_bitnet(tmp_path, type):
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    pytest.importorskip("llama_cpp")
    model = trilobite.load("demo-bitnet")
    tokens = model.tokenizer.encode(PROMPT)
    generation = model.generate(tokens, 24)
    list(generation)
    record = export("demo-bitnet", tmp_path / "bitnet.gguf", GGUF, type)
    assert "squared ReLU" in record.warnings[0]
    renamed = rename(tmp_path / "bitnet.gguf", tmp_path / "renamed.gguf")
    shim = squared_relu_library(tmp_path)
    assert judge(renamed, tokens, count=24, preload=shim)["tokens"] == generation.tokens


def test_the_trits_of_demo_bitnet_come_back(tmp_path):
    for type in ("tq1_0", "tq2_0"):
        export("demo-bitnet", tmp_path / f"{type}.gguf", GGUF, type)
        with open_checkpoint("demo-bitnet") as before, \
                open_checkpoint(tmp_path / f"{type}.gguf") as after:
            for name in before.config.linear_weights():
                first, second = before.weight(name).codes(), after.weight(name).codes()
                np.testing.assert_array_equal(first.values, second.values)
                assert second.scale == first.scale.astype(np.float16)


def test_int4_is_carried_to_q4_0_exactly(tmp_path):
    quantize("demo-llama", tmp_path / "int4", "int4,group_size=64")
    record = export(tmp_path / "int4", tmp_path / "int4.gguf", GGUF)
    carried = {tensor.source for tensor in record.tensors if tensor.type == "Q4_0" and tensor.exact}
    with open_checkpoint(tmp_path / "int4") as before, \
            open_checkpoint(tmp_path / "int4.gguf") as after:
        assert carried == set(before.config.linear_weights())
        for name in carried:
            np.testing.assert_array_equal(before.read(name), after.read(name))


LLAMA_CPP_RUNS = ["llama-biases", "llama-llama3", "llama-head-dim", "qwen3"] + [
    pytest.param(name, marks=pytest.mark.slow) for name in (
        "llama", "llama-tied", "llama-no-groups", "llama-linear", "llama-bf16", "mistral", "qwen2",
    )
]


@pytest.mark.parametrize("name", LLAMA_CPP_RUNS)
def test_every_architecture_computes_the_same_logits(library, tmp_path, name):
    out = tmp_path / "model.gguf"
    record = export(library(name), out, GGUF)
    assert all(tensor.exact for tensor in record.tensors)
    expected = trilobite.load(library(name)).logits(TOKENS)[-1]
    np.testing.assert_allclose(judge(out, TOKENS, count=1)["logits"], expected, atol=0.02)
    back = trilobite.load(out)
    source = dataclasses.replace(trilobite.load(library(name)).config, family=back.config.family)
    assert back.config == source   # only Mistral comes back under another name
    np.testing.assert_array_equal(back.logits(TOKENS)[-1], expected)


def test_bitnet_with_silu_is_llama_cpps_own(tmp_path):
    wide = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64, "hidden_act": "silu",
            "tie_word_embeddings": True}
    variant = VARIANTS["bitnet-float"].__class__("BitNet", wide)
    folder = write_variant(tmp_path / "bitnet", variant)
    edit_config(folder, lambda config: config.update(quantization_config={
        "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
    }))
    for type in ("tq1_0", "tq2_0", "q4_0", "q8_0"):
        out = tmp_path / f"{type}.gguf"
        record = export(folder, out, GGUF, type)
        assert all(tensor.exact for tensor in record.tensors)
        expected = trilobite.load(folder).logits(TOKENS)[-1]
        np.testing.assert_array_equal(trilobite.load(out).logits(TOKENS)[-1], expected)
        theirs = np.array(judge(out, TOKENS, count=1)["logits"])
        # llama.cpp rounds activations to int8 in blocks, the runtime per token.
        assert np.abs(theirs - expected).max() < 0.03 * np.ptp(expected)


@pytest.mark.parametrize("form", [
    Int4(32), Int4(128), Int4(64, symmetric=False), Int3(64), Int2(128), GroupedTernary(64),
    GroupedTernary(None), Ternary(), Int8(), Int2(None), Int3(None, symmetric=True),
], ids=str)
def test_what_each_format_becomes(tmp_path, form):
    variant = VARIANTS["llama"].__class__("Llama", {"hidden_size": 256, "intermediate_size": 256})
    source = write_variant(tmp_path / "float", variant)
    with open_checkpoint(source) as checkpoint:
        linear = checkpoint.config.linear_weights()
    folder = write_quantized(tmp_path / "packed", source, dict.fromkeys(linear, form))
    record = export(folder, tmp_path / "out.gguf", GGUF)
    expected = {"int2": "Q4_0", "int3": "Q4_0", "ternary": "TQ2_0", "int8": "Q8_0",
                "int4": "Q4_0" if getattr(form, "symmetric", True) else "Q8_0",
                "ternary-group": "TQ2_0" if form == GroupedTernary(None) else "Q4_0"}[form.name]
    if form in (Int2(None), Int3(None, symmetric=True)):   # one scale to a block of 256
        expected = "Q2_K" if form.bits == 2 else "Q3_K"
    lines = {tensor.source: tensor for tensor in record.tensors if tensor.source in linear
             and not tensor.name.endswith(".scale")}
    assert {line.type for line in lines.values()} == {expected}
    assert {line.exact for line in lines.values()} == {form.name != "int8"}
    with open_checkpoint(folder) as before, open_checkpoint(tmp_path / "out.gguf") as after:
        for name in linear:
            if form.name == "int8":
                np.testing.assert_allclose(after.read(name), before.read(name), atol=0.02)
            else:
                np.testing.assert_array_equal(after.read(name), before.read(name))


def packed_folder(tmp_path, form):
    variant = VARIANTS["llama"].__class__("Llama", {"hidden_size": 256, "intermediate_size": 256})
    source = write_variant(tmp_path / "float", variant)
    with open_checkpoint(source) as checkpoint:
        linear = checkpoint.config.linear_weights()
    return write_quantized(tmp_path / "packed", source, dict.fromkeys(linear, form)), linear


@pytest.mark.parametrize(("form", "type", "said"), [
    (Int3(64), "auto", "14 matrices in int3,group_size=64 are stored exactly in "
                       "Q4_0 and grow from 3.38 to 4.50 bits per weight; --type names smaller"),
    (Int3(64), "q3_k", "14 matrices in int3,group_size=64 are rounded again, to "
                       "Q3_K, which does not hold their codes: 3.38 to 3.44 bits per weight"),
    (Int2(128), "q2_k", "to Q2_K, which does not hold their codes: 2.19 to 2.62 bits"),
    (GroupedTernary(64), "auto", "grow from 1.88 to 4.50 bits"),
])
def test_what_grows_or_is_rounded_again_is_said(tmp_path, form, type, said):
    folder, _ = packed_folder(tmp_path, form)
    no_tokenizer, remark = export(folder, tmp_path / "out.gguf", GGUF, type).warnings
    assert "no vocabulary" in no_tokenizer and said in remark


@pytest.mark.parametrize("form", [Int4(32), Ternary(), GroupedTernary(None)], ids=str)
def test_what_neither_grows_nor_is_rounded_needs_no_remark(tmp_path, form):
    folder, _ = packed_folder(tmp_path, form)
    assert len(export(folder, tmp_path / "out.gguf", GGUF).warnings) == 1   # of the tokenizer


@pytest.mark.parametrize(("form", "type"), [
    (GroupedTernary(64), "q2_0"), (GroupedTernary(128), "q2_0"), (GroupedTernary(128), "pq2_0"),
    (GroupedTernary(128), "ptq1_0"), (Ternary(), "ptq1_0"),
], ids=str)
def test_grouped_ternary_types_hold_the_codes(tmp_path, form, type):
    folder, linear = packed_folder(tmp_path, form)
    record = export(folder, tmp_path / "out.gguf", GGUF, type)
    lines = {tensor.source: tensor for tensor in record.tensors if tensor.name.endswith("weight")}
    with open_checkpoint(folder) as before, open_checkpoint(tmp_path / "out.gguf") as after:
        for name in linear:
            assert (lines[name].type, lines[name].exact) == (type.upper(), True)
            np.testing.assert_array_equal(after.read(name), before.read(name))


def test_a_type_of_128_trits_does_not_take_groups_of_64(tmp_path):
    folder, _ = packed_folder(tmp_path, GroupedTernary(64))
    with pytest.raises(FormatError, match="PTQ1_0 holds ternary weights with a scale for each row"):
        export(folder, tmp_path / "out.gguf", GGUF, "ptq1_0")


@pytest.mark.parametrize(("type", "least", "most"), [("q3_k", 0.02, 0.045), ("q2_k", 0.07, 0.13)])
def test_llama_cpp_reads_what_is_rounded_to_few_bits(tmp_path, type, least, most):
    variant = VARIANTS["llama"].__class__("Llama", {"hidden_size": 256, "intermediate_size": 256})
    source = write_variant(tmp_path / "float", variant)
    export(source, tmp_path / "out.gguf", GGUF, type)
    with open_checkpoint(source) as before, open_checkpoint(tmp_path / "out.gguf") as after:
        for name in before.config.linear_weights():
            exact = before.read(name)
            error = np.square(after.read(name) - exact).sum() / np.square(exact).sum()
            assert least < error < most, name
    expected = trilobite.load(tmp_path / "out.gguf").logits(TOKENS)[-1]
    theirs = np.array(judge(tmp_path / "out.gguf", TOKENS, count=1)["logits"])
    assert np.abs(theirs - expected).max() < 0.03 * np.ptp(expected)   # int8 activations


def test_rows_that_are_no_whole_blocks_are_listed(library, tmp_path):
    record = export(write_bitnet_silu(tmp_path), tmp_path / "out.gguf", GGUF, "tq2_0")
    down = next(tensor for tensor in record.tensors if tensor.name == "blk.0.ffn_down.weight")
    assert (down.type, down.exact) == ("Q8_0", True)
    assert down.note == "stored as Q8_0: rows of 96 are no whole blocks of 256, as TQ2_0 needs"


def write_bitnet_silu(tmp_path):
    folder = write_bitnet(tmp_path / "older", "online-silu")
    edit_config(folder, lambda config: config.update(tie_word_embeddings=True))
    from support.checkpoints import edit_tensors

    edit_tensors(folder, lambda tensors: tensors.pop("lm_head.weight"))
    return folder


@pytest.mark.parametrize(("name", "type", "error", "message"), [
    ("llama", "tq2_0", FormatError, "is in floats; TQ2_0 holds ternary weights"),
    ("llama", "int4", FormatError, "gguf has no type 'int4'; it has auto, tq1_0"),
    ("mistral-window", None, CheckpointError, "has sliding windows, which llama.cpp's archite"),
    ("qwen3-biases", None, CheckpointError, "has biases of o_proj or the MLP, which llama.cpp"),
    ("online", None, CheckpointError, "has a head of its own, which llama.cpp's architecture bit"),
])
def test_what_gguf_cannot_hold_is_refused(library, tmp_path, name, type, error, message):
    with pytest.raises(error, match=re.escape(message)):
        export(library(name), tmp_path / "out.gguf", GGUF, type)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_without_being_asked(library, tmp_path):
    out = tmp_path / "out.gguf"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists; choose another file"):
        export(library("llama"), out, GGUF)
    assert out.read_text() == "mine"
    export(library("llama"), out, GGUF, overwrite=True)
    with pytest.raises(OutputError, match="is a folder; name the file"):
        export(library("llama"), tmp_path, GGUF, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


def test_the_tokenizer_comes_back(tmp_path):
    export("demo-llama", tmp_path / "llama.gguf", GGUF, "f16")
    text = "class Größe:\n\tdef f(self): return '😀'  # 3.14\n"
    ours = trilobite.load("demo-llama").tokenizer.encode(text)
    assert trilobite.load(tmp_path / "llama.gguf").tokenizer.encode(text) == ours
    assert tokenize(tmp_path / "llama.gguf", text) == ours
    manifest = quantize(tmp_path / "llama.gguf", tmp_path / "again", "int8")
    assert [file.name for file in manifest.source.files] == ["llama.gguf"]
    assert trilobite.load(tmp_path / "again").tokenizer.encode(text) == ours


def test_a_pre_tokenizer_that_llama_cpp_does_not_know_is_refused(tmp_path):
    folder = tmp_path / "llama"
    with open_checkpoint("demo-llama") as checkpoint:
        shutil.copytree(checkpoint.folder, folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="llama.cpp has no name for the pre_tokenizer"):
        export(folder, tmp_path / "out.gguf", GGUF)


def test_the_order_of_rotary_rows_by_hand(library):
    with open_checkpoint(library("llama")) as checkpoint:
        config = checkpoint.config   # four heads of 16
    paired = paired_rows(64, config)
    assert paired[:6].tolist() == [0, 8, 1, 9, 2, 10] and paired[16] == 16
    np.testing.assert_array_equal(paired[canonical_rows(64, config)], np.arange(64))


def test_metadata_names_the_tokenizer_and_the_shape(tmp_path):
    export("demo-llama", tmp_path / "llama.gguf", GGUF, "f16")
    with GgufFile(tmp_path / "llama.gguf") as file:
        said = file.metadata
    assert (said["general.architecture"], said["tokenizer.ggml.pre"]) == ("llama", "gpt-2")
    assert (said["llama.block_count"], said["llama.attention.head_count_kv"]) == (4, 2)
    assert said["tokenizer.ggml.token_type"][:3].tolist() == [3, 3, 1]
    assert said["tokenizer.ggml.add_bos_token"] is True
