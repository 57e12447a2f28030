"""Text from an accelerator: a tiny one in a simulation, through its registers."""

import json
from dataclasses import replace
from functools import partial

import pytest

import trilobite
from support.command import run as command
from support.random_checkpoint import write_random_checkpoint
from support.tiny_accelerator import MODEL, TINY, write_accelerator
from trilobite.api import run as run_module
from trilobite.api import self_test as self_test_module
from trilobite.api.boards import accelerator_of, physical_board
from trilobite.errors import HostError, TrilobiteError
from trilobite.fpga.registers import configuration_hash
from trilobite.host.uart import BAUD
from trilobite.quant.formats import Ternary
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.verify.board.simulated_board import build_board

PROMPT = "def"
CONFIG = replace(MODEL, vocab_size=1024)


@pytest.fixture(autouse=True)
def quick_builds(monkeypatch):
    for module in (run_module, self_test_module):
        monkeypatch.setattr(module, "build_board", partial(build_board, optimize=False))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, an accelerator and an image."""
    folder = tmp_path_factory.mktemp("run")
    write_random_checkpoint(folder / "model", CONFIG, Ternary())
    write_accelerator(folder / "tiny.toml")
    trilobite.image(folder / "model", folder / "image", str(folder / "tiny.toml"), 24)
    return folder


@pytest.fixture(scope="module")
def generated(place):
    return trilobite.generate(place / "model", PROMPT, 3)


def test_the_text_is_the_runtimes(place, generated):
    for model, check in ((place / "model", True), (place / "image", False)):
        result = trilobite.run(model, PROMPT, 3, hardware=str(place / "tiny.toml"), check=check)
        assert result.tokens == generated.tokens
        assert result.text == generated.text
        assert result.prompt_tokens == generated.prompt_tokens
        assert result.equal is (True if check else None)
        assert result.counters["tokens"] == 3
        assert result.board == "sim"


@pytest.mark.parametrize("how", [
    {"temperature": 1.5, "seed": 3}, {"temperature": 3.0, "top_k": 9, "top_p": 0.9, "seed": 1},
    {"repetition_penalty": 1.3}, {"temperature": 2.0, "min_p": 0.01, "repetition_penalty": 1.1}])
def test_what_is_drawn_is_the_runtimes(place, how):
    options = {"hardware": str(place / "tiny.toml"), "check": True, **how}
    result = trilobite.run(place / "model", PROMPT, 4, **options)
    assert result.equal
    assert result.tokens == trilobite.generate(place / "model", PROMPT, 4, **how).tokens


def test_a_pipe_gets_the_text_alone(place, generated, tmp_path):
    """And the JSON what else is known."""
    arguments = ["run", place / "model", "-p", PROMPT, "-n", "3", "--check",
                 "--hardware", place / "tiny.toml", "--json", tmp_path / "run.json"]
    result = command(*map(str, arguments))
    assert result.exit_code == 0
    assert result.stdout == generated.text
    assert "Every token is the runtime's." in result.stderr
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["tokens"] == list(generated.tokens)
    assert written["tokens_equal"] is True


def test_another_token_exits_with_1(place, monkeypatch):
    monkeypatch.setattr(run_module._Job, "_expected", lambda self, source: (0, 0, 0))
    arguments = ["run", place / "model", "-p", PROMPT, "-n", "3", "--check",
                 "--hardware", place / "tiny.toml"]
    result = command(*map(str, arguments))
    assert result.exit_code == 1
    assert "the runtime's are [0, 0, 0]" in result.stderr


def test_an_image_for_another_accelerator_is_refused(place, tmp_path):
    other = write_accelerator(tmp_path / "other.toml", replace(TINY, max_context=32))
    trilobite.image(place / "model", tmp_path / "image", str(other), 24)
    with pytest.raises(HostError, match="was made for the accelerator with the hash"):
        trilobite.run(tmp_path / "image", PROMPT, 1, hardware=str(place / "tiny.toml"))


@pytest.mark.parametrize(("options", "message"), [
    ({"new_tokens": 0}, "New tokens must be at least 1"),
    ({"prompt": []}, "prompt is empty"),
    ({"context": 3, "prompt": [1, 2, 3, 4]}, "asked for, and model has room for 3"),
    ({"temperature": -1.0}, "Temperature must be 0 or a positive"),
    ({"context": 0}, "context must be from 1 to 64"),
    ({"on": "usb"}, "--on 'usb' is no board; it must be sim, uart:DEVICE"),
    ({"on": "uart:"}, "is no board"),
    ({"on": "uio:x"}, "is no board"),
    ({"on": "uart:/dev/none@fast"}, "the rate 'fast'"),
    ({"on": "uart:/dev/none"}, "pyserial|cannot be opened"),
    ({"on": "uio:77"}, "needs the UIO device /dev/uio77"),
    ({"on": "uio:77", "waves": "x.vcd"}, "--waves records a simulation"),
    ({"model": "image", "check": True}, "--check needs the model"),
    ({"model": "image", "context": 9}, "--context needs the model"),
    ({"model": "none"}, "none"),
])
def test_what_cannot_be_run_is_said(place, options, message):
    arguments = {"prompt": PROMPT, "new_tokens": 1, "hardware": str(place / "tiny.toml"), **options}
    model = place / arguments.pop("model", "model")
    with pytest.raises(TrilobiteError, match=message):
        trilobite.run(model, **arguments)


def test_a_model_that_is_not_ternary_is_refused(place):
    with pytest.raises(TrilobiteError, match="quantize the model with --format ternary"):
        trilobite.run("demo-llama", PROMPT, 1)


def test_a_board_says_what_it_has(place):
    class Known:
        class identity:  # noqa: N801 - in the place of an object
            configuration = configuration_hash(load_accelerator("kv260").whole())

    assert accelerator_of(Known, "x") == load_accelerator("kv260").whole()
    Known.identity.configuration += 1
    with pytest.raises(TrilobiteError, match="none of .*demo.*; say by --hardware"):
        accelerator_of(Known, "x")


def test_a_rate_may_stand_behind_a_serial_line():
    assert physical_board("uart:/dev/x@115200").name == "uart:/dev/x@115200"
    assert BAUD == 3_000_000


def test_a_board_is_tested_from_registers_to_tokens(place):
    result = trilobite.self_test(hardware=str(place / "tiny.toml"), memory_bytes=20_000)
    assert result.passed, result.checks
    names = [check.name for check in result.checks]
    assert names[0] == "identity"
    assert {"memory: noise", "embedding", "layer 1", "tokens in one run",
            "errors: the next run is right"} <= set(names)
    assert result.counters["tokens"] == 3
