"""Requests that are decoded together get the tokens that each would get alone."""

import queue
import threading

import numpy as np
import pytest

import trilobite
from trilobite.errors import TrilobiteError
from trilobite.runtime.batching.engine import BusyError, Engine
from trilobite.runtime.batching.request import Ended, Failed, Piece
from trilobite.runtime.sampling import Sampling

PROMPTS = ["def add(", "import os\n" * 40, "class A:\n    x = ", "# a", "return ", "for i in "]


@pytest.fixture(scope="module", params=["ternary", "int4", "float32"])
def model(request, tmp_path_factory):
    if request.param == "float32":
        return trilobite.load("demo-llama")
    folder = tmp_path_factory.mktemp("model") / request.param
    source = "demo-bitnet" if request.param == "ternary" else "demo-llama"
    trilobite.quantize(source, folder, request.param)
    return trilobite.load(folder)


class Client:
    """Collects the events of one request."""

    def __init__(self):
        self.events = queue.SimpleQueue()
        self.text = ""

    def wait(self):
        while isinstance(event := self.events.get(timeout=120), Piece):
            self.text += event.text
        return event


def ask(engine, text, new_tokens, **options):
    client = Client()
    ids = engine.model.tokenizer.encode(text)
    client.request = engine.submit(ids, new_tokens, client.events.put, **options)
    return client


def test_answers_are_those_of_each_request_alone(model):
    lengths = [20, 7, 13, 1, 30, 16]
    sampling = [Sampling(), Sampling(0.8, seed=3), Sampling(), Sampling(1.0, 40, 0.9, 1),
                Sampling(0.7, repetition_penalty=1.3), Sampling()]
    with Engine(model, sequences=4) as engine:
        clients = [ask(engine, text, count, sampling=how)
                   for text, count, how in zip(PROMPTS, lengths, sampling, strict=True)]
        ends = [client.wait() for client in clients]
    for text, count, how, client, end in zip(
        PROMPTS, lengths, sampling, clients, ends, strict=True
    ):
        alone = model.generate(
            text, count, how.temperature, how.top_k, how.top_p, how.seed, how.min_p,
            how.repetition_penalty)
        assert client.text == "".join(alone)
        assert client.request.generated == alone.tokens
        assert end == Ended("stop" if alone.ended else "length", len(alone.tokens))


@pytest.mark.parametrize("kv", ["int8", "int4", "fp8", "float32"])
def test_a_step_together_has_the_logits_of_each_sequence_alone(model, kv):
    exact = model.decoder.head.format is not None
    if not exact and kv != "float32":
        pytest.skip("float matrices differ in their last bits, and a coarse cache multiplies that")
    model = trilobite.load(model.folder, kv=kv)
    sessions, alone = ([model.session(64) for _ in PROMPTS] for _ in range(2))
    for text, one, other in zip(PROMPTS, sessions, alone, strict=True):
        ids = model.tokenizer.encode(text)[:40]
        np.testing.assert_array_equal(one.prefill(ids), other.prefill(ids))
    for token in (5, 17, 99):
        ids = [token + index for index in range(len(PROMPTS))]
        expected = [one.feed([token_id])[0] for one, token_id in zip(alone, ids, strict=True)]
        logits = model.step(sessions, ids)
        if exact:
            np.testing.assert_array_equal(logits, expected)
        else:   # BLAS adds floats in another order
            np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_step_leaves_all_sessions_where_they_were_if_one_is_full(model):
    first, full = model.session(8), model.session(2)
    first.prefill([1, 2])
    full.prefill([1, 2])
    with pytest.raises(TrilobiteError, match="holds 2 tokens"):
        model.step([first, full], [3, 4])
    assert (first.position, full.position) == (2, 2)
    expected = model.session(8)
    expected.prefill([1, 2])
    np.testing.assert_array_equal(first.feed([3]), expected.feed([3]))


def test_a_stop_string_and_a_cancelled_request(model):
    whole = "".join(model.generate("def add(", 24))
    with Engine(model, sequences=2) as engine:
        cut = ask(engine, "def add(", 24, stop=[whole[4:7]])
        gone = ask(engine, "import ", 900)
        engine.cancel(gone.request)
        assert cut.wait().reason == "stop"
        assert cut.text == whole[:whole.index(whole[4:7])]
        after = ask(engine, "def add(", 3)   # there is room again
        assert after.wait() == Ended("length", 3)
    assert len(gone.request.generated) < 900


def test_more_requests_than_may_wait_are_refused(model):
    release = threading.Event()
    with Engine(model, sequences=1, waiting=1) as engine:
        held = engine.submit([5], 4, lambda event: release.wait(60))
        second = ask(engine, "def", 1)
        with pytest.raises(BusyError, match="2 requests run and wait already"):
            ask(engine, "def", 1)
        release.set()
        assert second.wait() == Ended("length", 1)
        assert len(held.generated) == 4


def test_who_waits_for_a_server_that_ends_is_told(model):
    with Engine(model, sequences=1) as engine:
        client = ask(engine, "import ", 900)
        assert isinstance(client.events.get(timeout=60), Piece)
    assert isinstance(client.wait(), Failed)
    with pytest.raises(TrilobiteError, match="closed"):
        engine.submit([5], 4, client.events.put)


def test_a_bug_of_the_engine_leaves_nobody_waiting(model, monkeypatch):
    def fails(*arguments):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(Engine, "_together", fails)
    with Engine(model) as engine:
        client = ask(engine, "def add(", 4)
        assert client.wait() == Failed("The server has failed: ZeroDivisionError: on purpose")
        with pytest.raises(TrilobiteError, match="closed"):
            engine.submit([5], 4, client.events.put)


@pytest.mark.parametrize("prompt, new_tokens, options, said", [
    ([], 4, {}, "empty"), ([5], 0, {}, "at least 1"), ([5], 1024, {}, "1024 positions"),
    ([5], 4, {"stop": [""]}, "empty"),
])
def test_what_cannot_be_answered_is_refused_at_once(model, prompt, new_tokens, options, said):
    with Engine(model) as engine, pytest.raises(TrilobiteError, match=said):
        engine.submit(prompt, new_tokens, print, **options)
