"""The loaded model: one result whichever way tokens are fed, and the demo's known perplexities."""

import math
from threading import Thread

import numpy as np
import pytest

import trilobite
from trilobite.errors import TrilobiteError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import LanguageModel

PROMPT = "def add(self, other):\n    return"


@pytest.fixture(scope="module")
def llama():
    return trilobite.load("demo-llama")


@pytest.fixture(scope="module")
def bitnet(tmp_path_factory):
    out = tmp_path_factory.mktemp("quantized") / "demo-bitnet"
    trilobite.quantize("demo-bitnet", out, format="ternary")
    return trilobite.load(out)


def test_tokens_one_by_one_give_the_bits_of_a_whole_prompt(bitnet):
    ids = bitnet.tokenizer.encode(PROMPT * 6)
    whole = bitnet.logits(ids)
    session = bitnet.session(len(ids))
    steps = np.concatenate([session.feed([token_id]) for token_id in ids])
    assert np.array_equal(steps, whole[: len(steps)])
    assert np.array_equal(bitnet.session(len(ids)).prefill(ids), whole[-1])


def test_generation_streams_text_and_keeps_its_tokens(llama):
    generation = llama.generate(PROMPT, max_new_tokens=40)
    text = "".join(generation)
    assert len(generation.tokens) <= 40
    assert llama.tokenizer.decode(generation.tokens) == text
    assert generation.prefill_rate > 0
    assert "self" in text   # what follows `return` in a method, for a model that learned Python


def test_greedy_generation_is_the_argmax_of_the_logits(llama):
    generation = llama.generate(PROMPT, max_new_tokens=5)
    list(generation)
    ids = llama.tokenizer.encode(PROMPT)
    for token_id in generation.tokens:
        assert token_id == int(np.argmax(llama.logits(ids)[-1]))
        ids.append(token_id)


def test_sampling_depends_on_the_seed_only(llama):
    def tokens(seed):
        generation = llama.generate(PROMPT, 20, temperature=1.5, top_k=50, top_p=0.95, seed=seed)
        list(generation)
        return generation.tokens

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)


def test_generation_stops_at_an_end_token(llama):
    ends = llama.generate([0], max_new_tokens=200, temperature=1.0, seed=4)
    list(ends)
    assert len(ends.tokens) == 200 or ends.tokens[-1] == llama.config.eos_token_ids[0]


def test_perplexity_of_a_uniform_guess_is_the_vocabulary(llama, monkeypatch):
    flat = np.zeros((512, llama.config.vocab_size), np.float32)
    monkeypatch.setattr(llama, "logits", lambda ids: flat[: len(ids)])
    result = llama.perplexity_of_tokens(list(range(1000)) * 2)
    assert result.tokens == 3 * 512   # (2000 - 1) // 512 windows
    assert result.value == pytest.approx(llama.config.vocab_size)


def test_perplexity_of_a_short_text_uses_one_window(llama):
    ids = llama.tokenizer.encode("import os\n")
    result = llama.perplexity_of_tokens(ids)
    assert result.tokens == len(ids) - 1
    logits = llama.logits(ids[:-1]).astype(float)
    chosen = logits[np.arange(len(ids) - 1), ids[1:]] - np.log(np.exp(logits).sum(axis=1))
    assert result.value == pytest.approx(math.exp(-chosen.mean()))
    assert llama.perplexity("import os\n") == result.value


@pytest.mark.parametrize("name, expected", [("demo-llama", 23.08), ("demo-bitnet", 21.16)])
def test_demo_models_are_as_good_as_when_they_were_trained(name, expected):
    # training.json records the float32 perplexity over all windows; the first twenty are near it.
    model = trilobite.load(name, kv="float32")
    result = model.perplexity_of_tokens(model.held_out_tokens()[: 20 * 512 + 1])
    assert result.tokens == 20 * 512
    assert result.value == pytest.approx(expected, rel=0.25)


def test_trace_gives_each_linear_its_exact_integers(bitnet):
    traces = bitnet.trace(bitnet.tokenizer.encode(PROMPT), layer=2)
    assert len(traces) == 7
    assert traces[3].name == "model.layers.2.self_attn.o_proj"
    with open_checkpoint("demo-bitnet") as checkpoint:
        for trace in traces:
            trits = checkpoint.weight(f"{trace.name}.weight").codes().values
            assert np.array_equal(trace.sums, trace.activations.astype(np.int64) @ trits.T)


def test_trace_of_a_float_model_is_refused(llama):
    with pytest.raises(TrilobiteError, match="in float"):
        llama.trace([0, 5], 0)
    with pytest.raises(TrilobiteError, match="layers 0 to 3"):
        llama.trace([0, 5], 4)


def test_intermediates_are_named(llama):
    seen = llama.intermediates([0, 5, 9])
    assert seen["model.layers.3.output"].shape == (3, 256)
    assert seen["model.layers.0.mlp.down_proj.input"].shape == (3, 768)
    assert np.array_equal(seen["logits"], llama.logits([0, 5, 9]))


@pytest.mark.parametrize(
    "ids, said", [([], "non-empty"), ([0.5], "integers"), ([-1], "-1"), ([0, 1024], "1024")]
)
def test_token_ids_are_checked(llama, ids, said):
    with pytest.raises(TrilobiteError, match=said):
        llama.session(4).feed(ids)


def test_limits_are_explained(llama):
    with pytest.raises(TrilobiteError, match="1024 positions"):
        llama.generate("x", max_new_tokens=2000)
    with pytest.raises(TrilobiteError, match="at least 1"):
        llama.generate("x", max_new_tokens=0)
    with pytest.raises(TrilobiteError, match="at least 2 tokens"):
        llama.perplexity("")
    with pytest.raises(TrilobiteError, match="'int3'"):
        trilobite.load("demo-llama", kv="int3")


def test_a_session_is_not_fed_by_two_threads(llama):
    session, outcomes = llama.session(8), []

    def feed_too():
        try:
            outcomes.append(session.feed([2]))
        except TrilobiteError as error:
            outcomes.append(str(error))

    def in_between(name, value):
        if not outcomes:
            other = Thread(target=feed_too)
            other.start()
            other.join()

    logits = session.feed([1], in_between)
    assert "fed by another thread" in outcomes[0]
    assert session.position == 1
    assert np.array_equal(logits, llama.logits([1]))
    session.feed([2])   # now it may
    assert session.position == 2


def with_larger(path, name, factor):
    """The model with one matrix multiplied by ``factor``; its weights stay finite."""
    with open_checkpoint(path) as checkpoint:
        def weight(asked):
            value = checkpoint.weight(asked)
            return value * np.float32(factor) if asked == name else value

        decoder = Decoder(checkpoint.config, weight)
        return LanguageModel(checkpoint.folder, decoder, "float32")


@pytest.fixture(scope="module")
def broken():
    return with_larger("demo-llama", "model.layers.2.mlp.up_proj.weight", 1e38)


def test_logits_that_are_not_finite_are_an_error_that_names_the_layer(broken):
    said = r"positions 0 to 2 hold NaN or infinity: model\.layers\.2\.mlp\.down_proj\.input, at "
    with pytest.raises(TrilobiteError, match=said):
        broken.logits([0, 5, 6])
    for temperature in (0.0, 1.0):
        generation = broken.generate("import os", 4, temperature=temperature)
        with pytest.raises(TrilobiteError, match="model.layers.2"):
            list(generation)
    with pytest.raises(TrilobiteError, match="model.layers.2"):
        broken.perplexity("import os\n" * 5)


def test_a_norm_or_head_that_overflows_is_named(llama, monkeypatch):
    broken = with_larger("demo-llama", "model.norm.weight", 3e38)
    with pytest.raises(TrilobiteError, match="the final norm is the first to give them"):
        broken.logits([0, 5])
    monkeypatch.setattr(llama.decoder, "logits", lambda hidden: np.full((2, 1024), np.inf))
    with pytest.raises(TrilobiteError, match="the output head is the first to give them"):
        llama.logits([0, 5])


def test_a_perplexity_beyond_any_number_is_an_error(llama, monkeypatch):
    certain = np.full((3, 1024), -1e4, np.float32)
    certain[:, 0] = 1e4
    monkeypatch.setattr(llama.decoder, "logits", lambda hidden: certain)
    with pytest.raises(TrilobiteError, match="costs the model 20,000 nats"):
        llama.perplexity_of_tokens([7, 7, 7, 7])


def test_a_cache_beyond_memory_is_refused_before_it_is_made(llama, monkeypatch):
    monkeypatch.setattr("trilobite.tools.memory.available_memory", lambda: 1 << 20)
    with pytest.raises(TrilobiteError, match=r"float32 KV cache of 1,024 tokens takes 0\.0 GB"):
        llama.session(1024)
