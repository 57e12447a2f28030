import json
import re
import subprocess
import sys

import pytest

import trilobite
from support.command import refuses, run, run_json
from trilobite.runtime.text import Tokenizer

RATES = r"prefill \d+ tokens, [\d.]+ tokens/s; decode \d+ tokens, [\d.]+ tokens/s\n"
HOSTILE = "a\tb\r\n\x0c:key: [bold]x[/nope] " + 90 * "y " + "\x1b[31m\n"


@pytest.fixture
def hostile(monkeypatch):
    """A model that writes tabs, markup and control characters."""
    monkeypatch.setattr(Tokenizer, "stream", lambda self, ids: (list(ids), iter(HOSTILE))[1])


def test_standard_output_of_a_pipe_is_the_generated_text_and_nothing_else(ternary, tmp_path):
    command = [sys.executable, "-m", "trilobite", "generate", ternary, "-p", "import ", "-n", "40"]
    done = subprocess.run([str(word) for word in command], capture_output=True, check=True)
    expected = trilobite.generate(ternary, "import ", 40)
    assert done.stdout.decode() == expected.text
    assert re.search(RATES + r"\Z", done.stderr.decode())


def test_text_is_written_into_a_file_byte_for_byte(hostile):
    result = run("generate", "demo-llama", "-p", "x", "-n", "3")
    assert result.stdout_bytes.decode() == HOSTILE


def test_on_a_terminal_the_prompt_comes_first_and_control_characters_are_seen(hostile, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = run("generate", "demo-llama", "-p", "pro[bold]mpt\x1b", "-n", "3").stdout
    shown = re.sub(r"\x1b\[(\d*m|\?25[lh]|1A|2K)|^\s*.Loading the model \.\.\.|\r", "", shown)
    text = HOSTILE.replace("\r", "\\r").replace("\x0c", "\\x0c").replace("\x1b", "\\x1b")
    assert "pro[bold]mpt\\x1b" + text in shown
    assert re.search(RATES.removesuffix(r"\n"), shown.replace("\n", " "))


def test_json(ternary):
    value = run_json("generate", ternary, "-p", "import ", "-n", "8", "--seed", "1")
    model = trilobite.load(ternary)
    assert model.tokenizer.decode(value["tokens"]) == value["text"]
    assert set(value) == {
        "prompt", "text", "tokens", "prompt_tokens", "prefill_tokens_per_second",
        "decode_tokens_per_second",
    }


def test_one_token_has_no_decode_rate(tmp_path):
    result = run("generate", "demo-llama", "-p", "x", "-n", "1", "--json", tmp_path / "j")
    assert result.stderr.endswith("tokens/s; its logits gave the only new token\n")
    assert "nan" not in result.output
    assert json.loads((tmp_path / "j").read_text())["decode_tokens_per_second"] is None


@pytest.mark.parametrize(("arguments", "said"), [
    (["no-such-model", "-p", "x"], "no-such-model"),
    (["demo-llama", "-p", "x", "--top-p", "2"], "top-p"),
    (["demo-llama", "-p", "x", "-n", "5000"], "1024 positions"),
    (["demo-llama", "-p", "x", "-n", "1000000000"], "1000000002 tokens are asked for"),
    (["demo-llama", "-p", "x", "-n", "0"], "at least 1"),
    (["demo-llama", "-p", "x", "--seed", "-1"], "The seed must be 0 or a positive integer, not -1"),
    (["demo-llama", "-p", b"\xff".decode(errors="surrogateescape")], "not UTF-8"),
    ([], "MODEL"),
    (["demo-llama"], "either --prompt (-p) or --prompt-file"),
    (["demo-llama", "-p", "x", "--prompt-file", "y"], "not both"),
    (["demo-llama", "-p", "@no-such-file"], "no-such-file cannot be read"),
    (["demo-llama", "-p", "x", "--template", "chatml"], "--template is for --chat"),
    (["demo-llama", "-p", "x", "--chat"], "has no chat template"),
    (["demo-llama", "-p", "x", "--stop", ""], "must not be empty"),
    (["demo-llama", "-p", "x", "--min-p", "2"], "min-p"),
])
def test_bad_input_is_one_sentence(arguments, said):
    assert refuses(run("generate", *arguments), said)


def test_a_cache_beyond_memory_is_refused(tmp_path):
    """A config can promise any number of positions; what 10^9 tokens need is there nowhere."""
    trilobite.quantize("demo-bitnet", tmp_path / "long", format="ternary")
    config = tmp_path / "long" / "config.json"
    values = json.loads(config.read_text()) | {"max_position_embeddings": 1 << 30}
    config.write_text(json.dumps(values))
    result = run("generate", tmp_path / "long", "-p", "x", "-n", 10**9)
    assert refuses(result, "KV cache of 1,000,000,002 tokens takes")
    assert "are available" in result.stderr


def test_a_prompt_from_a_file_and_from_standard_input(ternary, tmp_path):
    text = "import \u00e9\n"
    file = tmp_path / "prompt.txt"
    file.write_text(text)
    expected = trilobite.generate(ternary, text, 8).text
    for arguments in (["-p", f"@{file}"], ["--prompt-file", file], ["-p", "-"]):
        result = run("generate", ternary, *arguments, "-n", "8", typed=text)
        assert result.stdout == expected
    assert refuses(run("generate", ternary, "-p", "-", typed=b"\xff"), "not UTF-8")


def test_a_stop_string_ends_the_text(ternary):
    whole = trilobite.generate(ternary, "import ", 16).text
    stop = whole[6:9]
    result = run("generate", ternary, "-p", "import ", "-n", "16", "--stop", stop)
    assert result.stdout == whole[:whole.index(stop)]
