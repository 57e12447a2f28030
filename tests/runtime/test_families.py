"""The dense families beyond Llama: float logits against transformers, and the quantized path.

The tests' sequences are longer than every window and original context of ``support.families``.
"""

import numpy as np
import pytest

import trilobite
from support.checkpoints import write_variant
from support.families import FAMILIES
from support.transformers_judge import (
    error_in_range,
    expected_logits,
    random_prompt,
    runtime_logits,
)
from trilobite.errors import TrilobiteError
from trilobite.fpga.compiler import compile_model
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.runtime.kernels.choice import VARIABLE
from trilobite.sim.descriptions.accelerator import load_accelerator

KINDS = ("float32", "int8", "int4", "fp8")


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """``family(name)``: the folder of one of ``FAMILIES``; not to be changed."""
    folders = {}

    def get(name):
        if name not in folders:
            folders[name] = write_variant(tmp_path_factory.mktemp(name), FAMILIES[name])
        return folders[name]

    return get


@pytest.fixture(scope="module")
def quantized(family, tmp_path_factory):
    """``quantized(name)``: the same with INT8 weights, whose sums are exact."""
    folders = {}

    def get(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name) / "int8"
            trilobite.quantize(family(name), folders[name], format="int8", embedding="int8")
        return folders[name]

    return get


@pytest.mark.parametrize("name", FAMILIES)
def test_float_logits_are_those_of_transformers(family, name):
    tokens, expected = expected_logits(family(name), random_prompt(seed=1))
    found = runtime_logits(family(name), tokens)
    assert found.shape == expected.shape
    assert error_in_range(found, expected) < 1e-4
    assert np.ptp(expected) > 1


# Dynamic angles depend on how long the sequence is when a token comes, in transformers too.
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "llama-dynamic"])
def test_pieces_and_batches_give_the_bits_of_one_prefill(quantized, name):
    tokens = random_prompt(seed=2)
    for kind in KINDS:
        model = trilobite.load(quantized(name), kv=kind)
        whole = model.logits(tokens)
        session, other = model.session(64), model.session(64)
        pieces = [session.feed(tokens[start:stop]) for start, stop in ((0, 5), (5, 36), (36, 40))]
        other.feed(tokens[:20])
        for token in tokens[40:]:
            pieces.append(model.step([session, other], [token, 7])[:1])
        found = np.concatenate(pieces)
        settled = 36 if "long" in name or "phi4" in name else 0   # LongRoPE turns all keys anew
        assert np.array_equal(found[settled:], whole[settled:])


@pytest.mark.parametrize("name", ["gemma2", "granite"])
def test_every_kernel_scales_and_caps_scores_alike(quantized, name, kernel, monkeypatch):
    tokens = random_prompt(seed=3)
    found = trilobite.load(quantized(name), kv="int8").logits(tokens)
    monkeypatch.setenv(VARIABLE, "portable")
    assert np.array_equal(found, trilobite.load(quantized(name), kv="int8").logits(tokens))


def test_longrope_turns_keys_anew_where_it_leaves_the_original_context(family):
    model = trilobite.load(family("phi3-long"), kv="float32")
    tokens = random_prompt(seed=4)
    session = model.session(len(tokens))
    short = session.feed(tokens[:32])
    long = np.concatenate([session.feed([token]) for token in tokens[32:]])
    np.testing.assert_allclose(long, model.logits(tokens)[32:], atol=1e-4)
    assert np.array_equal(short, model.logits(tokens[:32]))
    assert np.abs(short - model.logits(tokens)[:32]).max() > 0.1
    session.position = 8   # wound back, as a conversation does
    again = session.feed(tokens[8:16])
    np.testing.assert_allclose(again, model.logits(tokens[:16])[8:], atol=1e-4)


@pytest.mark.parametrize(("name", "words"), [
    ("gemma2", "norms around attention and feed-forward"), ("olmo3", "norms over all heads"),
    ("phi4-mini", "rotary embedding of a part of each head"), ("granite", "scaled residual"),
    ("smollm3", "layers without rotary embedding"), ("llama-dynamic", "rotary scaling dynamic"),
])
def test_hardware_refuses_by_name(family, name, words):
    with (
        open_checkpoint(family(name)) as checkpoint,
        pytest.raises(TrilobiteError, match=f"cannot run this model: .*{words}"),
    ):
        compile_model(checkpoint.config, checkpoint.weight, load_accelerator("demo").whole(), 64)
