"""The end-to-end benchmark: its GGUF files, llama.cpp's side, and what is said of the results."""

import json
import subprocess
import sys
from importlib.util import find_spec

import end_to_end
import numpy as np
import pytest
import random_gguf
from end_to_end import rates

from trilobite.runtime.peers import llama_decoder

SMALL = random_gguf.Shape(
    layers=2, hidden=256, intermediate=512, heads=4, kv_heads=2, head_dim=64, vocabulary=100,
    rope_theta=1e4, tied=False,
)
TINY = """
name = "Tiny"
source = "this test"
parameters = 668160

[config]
family = "bitnet"
hidden_size = 256
intermediate_size = 512
num_layers = 1
num_heads = 4
num_kv_heads = 2
head_dim = 64
vocab_size = 300
max_position_embeddings = 64
rms_norm_eps = 1e-5
rope_theta = 10000.0
activation = "silu"
tie_word_embeddings = true
sub_norm = true
bitlinear = true
"""
needs_llama = pytest.mark.skipif(
    not (llama_decoder.available() and find_spec("gguf")),
    reason="llama-cpp-python or gguf is not installed",
)


@pytest.mark.parametrize("kind", ["TQ2_0", "Q4_0"])
@needs_llama
def test_a_gguf_file_has_every_tensor_of_the_shape(tmp_path, kind):
    import gguf

    path = tmp_path / "model.gguf"
    random_gguf.write(path, SMALL, kind)
    reader = gguf.GGUFReader(path)
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert len(found) == 2 + 1 + 2 * (2 + 7)
    sizes = {name: tuple(int(size) for size in found[name].shape) for name in found}
    assert sizes["blk.1.attn_k.weight"] == (256, 128)   # K, M
    assert sizes["blk.0.ffn_down.weight"] == (512, 256)
    assert sizes["output.weight"] == sizes["token_embd.weight"] == (256, 100)
    assert {found[name].tensor_type.name for name in found if "attn_q" in name} == {kind}
    assert found["output.weight"].tensor_type.name == "Q6_K"
    down = gguf.quants.dequantize(found["blk.0.ffn_down.weight"].data, found[
        "blk.0.ffn_down.weight"].tensor_type)
    assert down.shape == (256, 512)
    assert down.std() == pytest.approx(512 ** -0.5, rel=0.1)
    if kind == "TQ2_0":
        assert len(np.unique(np.abs(down))) == 2   # zero and one magnitude


@needs_llama
def test_a_tied_head_is_stored_once(tmp_path):
    import gguf

    path = tmp_path / "model.gguf"
    random_gguf.write(path, random_gguf.Shape(**vars(SMALL) | {"tied": True}), "Q4_0")
    assert "output.weight" not in {tensor.name for tensor in gguf.GGUFReader(path).tensors}


@needs_llama
def test_llama_cpp_runs_such_a_file(tmp_path):
    path = tmp_path / "model.gguf"
    random_gguf.write(path, SMALL, "TQ2_0")
    result = llama_decoder.measure(str(path), SMALL.vocabulary, [4, 8], [3, 6], [1], 2)
    assert [(item["context"], item["threads"]) for item in result["decode"]] == [(4, 1), (8, 1)]
    assert [item["tokens"] for item in result["prefill"]] == [3, 6]
    for item in result["decode"] + result["prefill"]:
        assert item["tokens_per_second"] > 0 and item["flash_attention"] in (False, True)


def test_the_better_of_flash_attention_and_none_counts(monkeypatch):
    def measured(*arguments):
        flash = arguments[-1]
        return {"decode": [{"tokens_per_second": 3.0 - flash, "flash_attention": flash},
                           {"tokens_per_second": 1.0 + flash, "flash_attention": flash}]}

    monkeypatch.setattr(llama_decoder, "_measure", measured)
    found = llama_decoder.measure("m", 1, [], [], [1], 1)["decode"]
    assert [(each["tokens_per_second"], each["flash_attention"]) for each in found] == [
        (3.0, False), (2.0, True)]


def test_a_dot_in_the_name_of_a_shape_is_kept():
    assert end_to_end._file_name("bitnet-0.73b") == "bitnet-0.73b"
    assert end_to_end._file_name("shapes/own-1.5b.toml") == "own-1.5b"


@needs_llama
@pytest.mark.parametrize("context", [5, 128, 256, 300, 512])
def test_a_context_is_filled_as_if_it_had_been_computed(tmp_path, context):
    path = tmp_path / "model.gguf"
    random_gguf.write(path, random_gguf.Shape(**vars(SMALL) | {"layers": 1}), "Q4_0")
    model = llama_decoder._Model(path, 600)
    model.threads(1)
    ids = np.arange(600) * 7 % 90
    # In a model of one layer, keys and values depend on the token and its position alone.
    copies = max(context // 128, 1)
    same = np.concatenate([np.tile(ids[:128], copies)[:context], ids[128 * copies : context]])

    def logits():
        model.feed(ids[599:])
        found = model.logits(SMALL.vocabulary)
        assert np.isfinite(found).all()
        return found

    model.fill(ids, context)
    filled = logits()
    model.keep(0)
    model.feed(same)
    computed = logits()
    model.keep(0)
    model.feed(same[::-1])
    near, far = (np.linalg.norm(filled - other) for other in (computed, logits()))
    assert near < far / 10   # float16 keys are rotated again


def test_long_prefills_are_not_repeated():
    assert llama_decoder.repeated(iter([7.0]).__next__) == 7.0
    assert llama_decoder.repeated(iter([9.0, 1.0]).__next__) == 9.0
    assert llama_decoder.repeated(iter([5.0, 2.0]).__next__) == 2.0
    assert llama_decoder.repeated(iter([0.5, 0.3, 0.1, 0.2, 9.0]).__next__) == 0.2


def side(decode, prefill):
    return {
        "decode": [{"context": 128, "threads": 1, "tokens_per_second": decode}],
        "prefill": [{"tokens": 512, "threads": 1, "tokens_per_second": prefill}],
    }


def test_rates_are_medians_over_rounds():
    rounds = [
        (side(10.0, 100.0), side(5.0, 10.0)),
        (side(12.0, 90.0), side(3.0, 10.0)),
        (side(11.0, 95.0), side(11.0, 10.0)),
    ]
    decode, prefill = rates("bitnet-2b", "ternary16", rounds)
    assert (decode.stage, decode.tokens, decode.threads) == ("decode", 128, 1)
    assert decode.tokens_per_second == 11.0 and decode.llama_tokens_per_second == 5.0
    assert decode.ratio == 2.0 and decode.llama_type == "TQ2_0"
    assert (prefill.stage, prefill.tokens, prefill.ratio) == ("prefill", 512, 9.5)


def test_without_a_peer_there_is_no_ratio():
    decode, _ = rates("bitnet-2b", "int4", [(side(10.0, 100.0), {})])
    assert decode.tokens_per_second == 10.0
    assert decode.ratio is None and decode.llama_tokens_per_second is None


def test_the_shape_is_that_of_the_model():
    shape = end_to_end.shape_of("bitnet-2b")
    weights = {name: M * K for name, M, K in shape.linears(0)}
    assert weights["blk.0.attn_k.weight"] == 640 * 2560
    assert sum(weights.values()) * shape.layers == 2_084_044_800


@pytest.mark.parametrize("peer", ["none", pytest.param("llama.cpp", marks=needs_llama)])
def test_the_command_writes_rates_and_what_was_loaded(tmp_path, peer):
    shape, result = tmp_path / "tiny.toml", tmp_path / "result.json"
    shape.write_text(TINY)
    printed = subprocess.run(
        [sys.executable, end_to_end.__file__, "--models", str(shape), "--types", "ternary16",
         "--context", "4", "--prompt", "3", "--threads", "1", "--steps", "1", "--peer", peer,
         "--folder", str(tmp_path), "--json", str(result)],
        capture_output=True, text=True, check=False,
    )
    assert printed.returncode == 0, printed.stderr
    found = json.loads(result.read_text())
    stages = [(rate["stage"], rate["tokens"], rate["threads"]) for rate in found["rates"]]
    assert stages == [("decode", 4, 1), ("prefill", 3, 1)]
    for rate in found["rates"]:
        assert rate["tokens_per_second"] > 0
        assert (rate["ratio"] is None) == (peer == "none")
    (model,) = found["models"]
    assert model["model"] == str(shape) and model["weight_bytes"] > 0
    files = {path.name for path in tmp_path.iterdir()} - {"result.json", "tiny.toml"}
    assert files == ({"tiny-TQ2_0.gguf"} if peer == "llama.cpp" else set())


def test_an_unknown_type_is_refused():
    printed = subprocess.run(
        [sys.executable, end_to_end.__file__, "--types", "int5"], capture_output=True, text=True,
        check=False,
    )
    assert printed.returncode == 2 and "no such type: int5" in printed.stderr


@pytest.mark.parametrize(("option", "value"), [("--folder", "none"), ("--json", "none/out.json")])
def test_a_missing_folder_is_refused_before_anything_is_measured(tmp_path, option, value):
    printed = subprocess.run(
        [sys.executable, end_to_end.__file__, option, tmp_path / value], capture_output=True,
        text=True, check=False,
    )
    assert printed.returncode == 2 and printed.stdout == ""
    assert f"{option}: there is no folder {tmp_path / 'none'}" in printed.stderr
