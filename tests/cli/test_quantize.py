import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import trilobite
from support.command import refuses, run, run_json

DEMO = Path(trilobite.__file__).parent / "checkpoints" / "demo-bitnet"


def test_what_is_written_is_what_load_reads(tmp_path):
    assert run("quantize", "demo-bitnet", "-o", tmp_path / "q").exit_code == 0
    model = trilobite.load(tmp_path / "q")
    assert model.kv == "int8"
    assert model.decoder.linear(0, "mlp.up_proj").format.name == "ternary"


def test_the_json_is_the_manifest(tmp_path):
    manifest = run_json("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int4")
    assert manifest == json.loads((tmp_path / "q" / "manifest.json").read_text())
    assert manifest["format"] == {"format": "int4", "group_size": 128, "symmetric": True}


def test_there_is_a_line_per_tensor_and_a_dry_run_writes_nothing(tmp_path):
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "fp8", "--dry-run")
    assert result.exit_code == 0
    assert "layers.3.mlp.down_proj" in result.stdout
    assert "Memory needed" in result.stdout
    assert not (tmp_path / "q").exists()


def test_gptq_on_a_text(tmp_path):
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
        (["no-such-model", "-o", "{tmp}/q"], "no-such-model"),
        (["demo-llama", "-o", "{tmp}", "--format", "int8"], "exists"),
        (["demo-llama", "-o", "{tmp}/q"], "was not trained ternary"),
        (["demo-llama", "-o", "{tmp}/q", "--format", "int4,group_size=9"], "'9'"),
        (["demo-llama", "-o", "{tmp}/q", "--format", "int4", "--packing", "2bit"],
         "--packing is an option of the format now"),
        (["demo-llama", "-o", "{tmp}/q", "--format", "int5"], "int5"),
        (["demo-llama", "-o", "{tmp}/q", "--format", "int8", "--method", "gptq"],
         "gptq does not make"),
        (
            ["demo-llama", "-o", "{tmp}/q", "--format", "int4", "--method", "gptq",
             "--calibration", "{tmp}/none.txt"],
            "none.txt cannot be read",
        ),
        (["demo-llama", "-o", "{tmp}/q", "--format", "int8", "--calibration", "{tmp}/none.txt"],
         "--calibration: method rtn reads no text; leave it out, or choose gptq"),
        (["{tmp}/none.onnx", "-o", "{tmp}/q.onnx", "--format", "int8", "--calibration", "x.txt"],
         "--calibration is no option for ONNX models"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, arguments, said):
    result = run("quantize", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert refuses(result, said)
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
    assert refuses(result, said)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_interrupt_ends_with_one_line_and_nothing_written(tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("trilobite.quant.pipeline.pipeline.write_tensor", interrupt)
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int8")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert list(tmp_path.iterdir()) == []
