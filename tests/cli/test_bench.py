import json
import re
import shutil
from pathlib import Path

import pytest

import trilobite
from support.command import refuses, run, run_json
from trilobite.runtime.peers import llama_decoder


@pytest.fixture(scope="module")
def library_int4(tmp_path_factory):
    """The folder of demo-llama in INT4."""
    folder = tmp_path_factory.mktemp("int4") / "llama"
    trilobite.quantize("demo-llama", folder, "int4,group_size=32")
    return folder


SHAPES = Path(trilobite.__file__).parent / "sim" / "descriptions" / "shapes"


def test_a_checkpoint_is_timed(ternary):
    value = run_json("bench", ternary, "--context", "5,40", "--prompt", "9", "--steps", "2")
    assert [row["context"] for row in value["decode"]] == [5, 40]
    for row in value["decode"]:
        parts = row["matmul"] + row["attention"] + row["head"] + row["rest"]
        assert parts == pytest.approx(row["step"])
        assert row["tokens_per_second"] == pytest.approx(1 / row["step"])
    assert value["kv"] == "int8"
    assert value["prefill"][0]["tokens"] == 9


@pytest.mark.parametrize(("positions", "contexts", "prompts"), [
    (1024, [128, 1020], [128, 512]), (40, [36], [40]), (16, [12], [16]),
])
def test_the_default_lengths_fit_the_model(ternary, tmp_path, positions, contexts, prompts):
    """The shipped models have 1,024 positions, and the defaults asked for more."""
    shutil.copytree(ternary, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    values = json.loads(config.read_text()) | {"max_position_embeddings": positions}
    config.write_text(json.dumps(values))
    value = run_json("bench", tmp_path / "model", "--steps", "1")   # after 3 that do not count
    assert [row["context"] for row in value["decode"]] == contexts
    assert [row["tokens"] for row in value["prefill"]] == prompts


@pytest.mark.skipif(not llama_decoder.available(), reason="llama-cpp-python is not installed")
def test_a_peer_runs_the_same_model(library_int4):
    value = run_json("bench", library_int4, "--context", "5", "--prompt", "9", "--steps", "2",
                     "--peer", "llama.cpp")
    peer = value["peer"]
    assert peer["peer"] == "llama.cpp" and peer["types"]["Q4_0"] > 0
    assert [(row["tokens"], row["threads"]) for row in peer["decode"]] == [(5, 1)]
    assert [(row["tokens"], row["threads"]) for row in peer["prefill"]] == [(9, 1)]
    assert all(row["tokens_per_second"] > 0 for row in peer["decode"] + peer["prefill"])


@pytest.mark.parametrize(("arguments", "said"), [
    (("demo-llama", "--peer", "mlc"), "--peer is 'mlc'; it may be 'llama.cpp'"),
    (("--shape", "bitnet-0.73b", "--peer", "llama.cpp"), "--peer runs a MODEL"),
])
def test_a_peer_that_cannot_be_timed_is_refused_before_long_work(arguments, said):
    assert refuses(run("bench", *arguments), said)


def test_a_shape_without_a_model_is_timed_with_random_weights(tmp_path):
    text = (SHAPES / "bitnet-0.73b.toml").read_text()
    text = text.replace("num_layers = 24", "num_layers = 1").replace("32002", "70")
    small = tmp_path / "small.toml"
    small.write_text(re.sub("parameters = .*", "parameters = 28429312", text))
    result = run(
        "bench", "--shape", small, "--format", "int4,group_size=32", "--steps", "1",
        "--context", "3", "--prompt", "4",
    )
    assert result.exit_code == 0, result.output
    assert "random int4" in result.stdout
    assert "Prefill" in result.stdout and "GB/s" in result.stdout


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "either a MODEL or --shape"),
    (["demo-llama", "--shape", "bitnet-2b"], "either a MODEL or --shape"),
    (["demo-llama", "--context", "1,x"], "--context"),
    (["demo-llama", "--threads", "999"], "999 threads"),
    (["demo-llama", "--context", "5000"], "1024 positions"),
    (["--shape", "gpt-9"], "gpt-9"),
    (["--shape", "bitnet-2b", "--seed", "-1"], "The seed must be 0 or a positive integer, not -1"),
    (["demo-llama", "--steps", "0"], "--steps"),
    (["--shape", "bitnet-2b", "--group-size=32"], "--group-size is an option"),
])
def test_bad_input_is_one_sentence(arguments, said):
    assert refuses(run("bench", *arguments), said)
