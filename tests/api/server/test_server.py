"""The server as OpenAI's own client sees it."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import trilobite

openai = pytest.importorskip("openai")
httpx = pytest.importorskip("httpx")

PROMPTS = ["def add(", "import ", "class A:", "return ", "for i in ", "# x", "if ", "x = "]


class Running:
    """A server in a process of its own, on a port that is free."""

    def __init__(self, *options, **environment):
        command = [sys.executable, "-m", "trilobite", "serve", "demo-llama", "--port", "0",
                   "--kv", "int8", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment})
        line = self.process.stdout.readline()
        assert "is served at" in line, self.process.communicate()
        self.url = line.split()[-1]

    def client(self, key="none"):
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=120)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture(scope="module")
def server():
    running = Running("--template", "chatml", "--sequences", "4", "--waiting", "2")
    yield running
    assert running.stop() == 130


@pytest.fixture(scope="module")
def model():
    return trilobite.load("demo-llama", kv="int8")


def test_a_completion_is_what_generate_writes(server, model):
    answer = server.client().completions.create(
        model="demo-llama", prompt="def add(", max_tokens=12, temperature=0)
    expected = model.generate("def add(", 12)
    assert answer.choices[0].text == "".join(expected)
    assert answer.choices[0].finish_reason == ("stop" if expected.ended else "length")
    assert answer.usage.completion_tokens == 12
    assert answer.usage.prompt_tokens == len(expected.prompt_tokens)


def test_a_stream_is_the_same_text_in_pieces(server, model):
    stream = server.client().completions.create(
        model="demo-llama", prompt=model.tokenizer.encode("def add("), max_tokens=12,
        temperature=0.8, seed=5, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    pieces = [chunk.choices[0].text for chunk in chunks if chunk.choices]
    assert "".join(pieces) == "".join(model.generate("def add(", 12, 0.8, seed=5))
    assert len(pieces) > 3 and chunks[-1].usage.completion_tokens == 12


def test_a_chat_whole_and_streamed(server, model):
    messages = [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "What?"}]}]
    conversation = trilobite.chat(model, "Be brief.", "chatml")
    expected = "".join(conversation.ask("What?", 10))
    arguments = {"model": "demo-llama", "messages": messages, "max_completion_tokens": 10,
                 "temperature": 0}
    client = server.client()
    answer = client.chat.completions.create(**arguments)
    assert answer.choices[0].message.content == expected
    stream = client.chat.completions.create(**arguments, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected


def test_requests_at_one_time_get_their_own_answers(server, model):
    client = server.client()

    def ask(prompt):
        for _ in range(200):
            try:
                return client.completions.create(
                    model="demo-llama", prompt=prompt, max_tokens=8, temperature=0)
            except openai.RateLimitError:   # four run, two wait
                pass
        raise AssertionError("never answered")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, PROMPTS))
    assert [answer.choices[0].text for answer in answers] == [
        "".join(model.generate(prompt, 8)) for prompt in PROMPTS]


def test_a_client_that_leaves_frees_its_place(server):
    for _ in range(6):   # more than run and wait together
        with httpx.stream("POST", server.url + "/completions", timeout=60, json={
            "prompt": "import ", "max_tokens": 900, "stream": True, "temperature": 0,
        }) as stream:
            next(stream.iter_lines())
    answer = server.client().completions.create(
        model="demo-llama", prompt="x", max_tokens=2, temperature=0)
    assert answer.usage.completion_tokens == 2


def test_models_and_health(server):
    assert [one.id for one in server.client().models.list()] == ["demo-llama"]
    health = httpx.get(server.url.removesuffix("/v1") + "/health").json()
    assert health["status"] == "ok"


@pytest.mark.parametrize("change, field, said", [
    ({"model": "gpt"}, "model", "not served here"),
    ({"prompt": 3}, "prompt", "one text"),
    ({"prompt": ["a", "b"]}, "prompt", "one text"),
    ({"prompt": [99999]}, "prompt", "outside 0 to 1023"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": 5000}, None, "1024 positions"),
    ({"max_tokens": "x"}, "max_tokens", "integer"),
    ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens", "differ"),
    ({"temperature": -1}, None, "Temperature"),
    ({"temperature": "warm"}, "temperature", "number"),
    ({"stop": [""]}, "stop", "list of texts"),
    ({"n": 2}, "n", "only 1 is supported"),
    ({"logit_bias": {"5": 1}}, "logit_bias", "only {} is supported"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream_options": []}, None, None),
    ({"surprise": 1}, "surprise", "not understood"),
])
def test_a_field_that_is_not_understood_is_refused(server, change, field, said):
    body = {"model": "demo-llama", "prompt": "x", "max_tokens": 1, "temperature": 0} | change
    answer = httpx.post(server.url + "/completions", json=body, timeout=60)
    if said is None:
        assert answer.status_code == 200
        return
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert said in error["message"] and error["param"] == field


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b'{"prompt": NaN}', b"\xff"])
def test_what_is_no_object_is_refused(server, content):
    answer = httpx.post(server.url + "/completions", content=content, timeout=60)
    assert answer.status_code == 400 and "message" in answer.json()["error"]


def test_a_request_that_is_too_large_is_refused(server):
    body = json.dumps({"prompt": "x" * (5 << 20)})
    answer = httpx.post(server.url + "/completions", content=body, timeout=60)
    assert answer.status_code == 400 and "4 MiB" in answer.json()["error"]["message"]


@pytest.mark.parametrize("messages", [
    None, [], ["x"], [{"content": "x"}], [{"role": "user"}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
])
def test_messages_that_are_none_are_refused(server, messages):
    answer = httpx.post(server.url + "/chat/completions", json={"messages": messages}, timeout=60)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "messages"


def test_a_name_that_leads_here_from_elsewhere_is_refused(server):
    answer = httpx.get(server.url + "/models", headers={"Host": "evil.example"})
    assert answer.status_code == 400


def test_a_key_is_asked_for_and_a_model_without_template_has_no_chats():
    running = Running(TRILOBITE_API_KEY="secret")
    try:
        with pytest.raises(openai.AuthenticationError):
            running.client("wrong").models.list()
        client = running.client("secret")
        assert client.models.list().data
        with pytest.raises(openai.BadRequestError, match="no chat template"):
            client.chat.completions.create(
                model="demo-llama", messages=[{"role": "user", "content": "x"}])
    finally:
        running.stop()
