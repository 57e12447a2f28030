"""Quantizing ONNX models as files: what is written, kept, refused, and in how much memory."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from support.llama_folder import contents
from support.onnx_graphs import branches, make, perceptron, random, saved, value
from trilobite.cli import app
from trilobite.errors import CheckpointError, FormatError, OutputError
from trilobite.quant.formats import Int4, Int8
from trilobite.quant.onnx.quantize import quantize_onnx


def test_the_same_input_gives_the_same_bytes(tmp_path):
    source = saved(tmp_path / "in", branches(), external=True)
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        quantize_onnx(source, tmp_path / name / "out.onnx", Int4(None))
        written.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert written[0] == written[1]


def test_no_byte_is_written_where_the_last_weight_is_not_finite(tmp_path, monkeypatch):
    model = perceptron()
    name = model.graph.initializer[-1].name
    for tensor in model.graph.initializer:
        name = tensor.name if len(tensor.dims) == 2 else name
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[-1] = np.nan
    weight.raw_data = values.tobytes()
    monkeypatch.setattr("trilobite.quant.onnx.quantize.TensorSink", None)
    with pytest.raises(FormatError, match=f"model.onnx: {name}: NaN or infinity"):
        quantize_onnx(saved(tmp_path / "in", model), tmp_path / "q.onnx", Int8())
    assert not (tmp_path / "q.onnx").exists()


def test_nothing_is_left_behind_by_a_failure(tmp_path):
    model = perceptron()
    weight = random((64, 96), 1)
    weight[3, 5] = np.inf
    model.graph.initializer[0].raw_data = weight.tobytes()
    source = saved(tmp_path / "in", model, external=True)
    with pytest.raises(FormatError, match=r"model.onnx: first: NaN or infinity"):
        quantize_onnx(source, tmp_path / "out" / "q.onnx", Int8())
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(FormatError, match="Layout 'tensorrt' is unknown"):
        quantize_onnx(source, tmp_path / "q.onnx", Int8(), "tensorrt")
    plain = make([helper.make_node("Relu", ["x"], ["y"])], {}, [value("x", [3])], [value("y", [3])])
    with pytest.raises(FormatError, match="has no weight of MatMul or Gemm"):
        quantize_onnx(saved(tmp_path / "plain", plain), tmp_path / "p.onnx", Int8())


def test_an_output_that_exists_is_kept_until_the_new_one_is_there(tmp_path):
    source = saved(tmp_path, perceptron(), external=True)
    out = tmp_path / "q.onnx"
    quantize_onnx(source, out, Int8())
    before = out.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        quantize_onnx(source, out, Int4(32))
    assert out.read_bytes() == before
    quantize_onnx(source, out, Int4(32), overwrite=True)
    assert out.read_bytes() != before
    out.unlink()
    with pytest.raises(OutputError, match=r"q.onnx.data exists and would be written beside"):
        quantize_onnx(source, out, Int4(32))
    with pytest.raises(OutputError, match="model.onnx is read by the model"):
        quantize_onnx(source, source, Int4(32), overwrite=True)
    onnx.save_model(perceptron(), tmp_path / "b.onnx", save_as_external_data=True,
                    location="c.onnx.data", size_threshold=0)
    with pytest.raises(OutputError, match=r"c.onnx.data is read by the model"):
        quantize_onnx(tmp_path / "b.onnx", tmp_path / "c.onnx", Int8(), overwrite=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from trilobite.quant.formats import Int8
from trilobite.quant.onnx.quantize import quantize_onnx
steps = int(sys.argv[3])
def event(name, arguments):
    global steps
    if name in ("os.link", "os.rename") and Path(arguments[0]).name.startswith(".q.onnx"):
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), getattr(signal, sys.argv[4]))
sys.addaudithook(event)
signal.signal(signal.SIGINT, signal.default_int_handler)
quantize_onnx(sys.argv[1], sys.argv[2], Int8())
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_run_that_is_struck_while_it_names_its_files(tmp_path, how, step):
    """Data, manifest, model: the next run takes nothing of it for somebody else's."""
    source = saved(tmp_path / "in", perceptron(), external=True)
    quantize_onnx(source, tmp_path / "whole" / "q.onnx", Int8())
    out = tmp_path / "out" / "q.onnx"
    done = subprocess.run([sys.executable, "-c", KILLED, source, out, str(step), how],
                          capture_output=True, check=False)
    assert done.returncode == (-9 if how == "SIGKILL" else -2)
    if how == "SIGINT":
        assert list(out.parent.iterdir()) == []
    quantize_onnx(source, out, Int8())
    assert contents(out.parent) == contents(tmp_path / "whole")


def test_what_a_run_left_that_had_named_all_goes_with_the_next(tmp_path):
    source = saved(tmp_path / "in", perceptron(), external=True)
    out = tmp_path / "out" / "q.onnx"
    quantize_onnx(source, out, Int8())
    whole = contents(out.parent)
    out.with_name(".q.onnx.data.trilobite-partial").hardlink_to(out.with_name("q.onnx.data"))
    with pytest.raises(OutputError, match="exists"):
        quantize_onnx(source, out, Int8())
    assert contents(out.parent) == whole


def test_the_command(tmp_path):
    source = saved(tmp_path, perceptron(opset=17))
    command = ["quantize", str(source), "-o", str(tmp_path / "q.onnx"), "--format"]
    command.append("int4,group_size=32")
    dry = CliRunner().invoke(app, [*command, "--dry-run"])
    assert dry.exit_code == 0 and "Dry run" in dry.stdout and "first" in dry.stdout
    assert "Opset 17 raised to 21" in dry.stdout
    assert not (tmp_path / "q.onnx").exists()
    result = CliRunner().invoke(app, [*command, "--json", "-"])
    assert json.loads(result.stdout)["layout"] == "qdq"
    failed = CliRunner().invoke(app, [*command, "--method", "gptq", "--overwrite"])
    assert failed.exit_code == 2 and "weights are rounded" in failed.stderr
    command[-1] = "int4,group_size=128"
    mixed = CliRunner().invoke(app, [*command, "--overwrite", "--as", "matmulnbits"])
    assert mixed.exit_code == 2 and "no weight of MatMul or Gemm" in mixed.stderr   # K = 64, 96
    command = ["quantize", "demo-llama", "-o", str(tmp_path / "f"), "--as", "qdq"]
    folder = CliRunner().invoke(app, command)
    assert folder.exit_code == 2 and "an option for ONNX models" in folder.stderr


MEASURE = """
import sys
from pathlib import Path
from trilobite.quant.formats import Int4
from trilobite.quant.onnx.quantize import quantize_onnx
quantize_onnx(sys.argv[1], sys.argv[2], Int4(), sys.argv[3])
status = Path("/proc/self/status").read_text()
print(1024 * int(status.partition("VmHWM:")[2].split()[0]))
"""


@pytest.mark.parametrize(("layout", "limit"), [("qdq", 3), ("matmulnbits", 2.2)])
def test_peak_memory_is_that_of_one_weight(tmp_path, layout, limit):
    """Eight weights of 32 MB each, in one file of 256 MB."""
    path, data = tmp_path / "model.onnx", tmp_path / "model.onnx.data"
    block = random((2048, 4096)).tobytes()
    names = [f"w{index}" for index in range(8)]
    nodes = [helper.make_node("MatMul", ["x", name], [f"y_{name}"]) for name in names]
    tensors = []
    with data.open("wb") as file:
        for index, name in enumerate(names):
            file.write(block)
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2048, 4096])
            tensor.data_location = TensorProto.EXTERNAL
            for key, entry in (("location", data.name), ("offset", index * len(block)),
                               ("length", len(block))):
                tensor.external_data.add(key=key, value=str(entry))
            tensors.append(tensor)
    outputs = [value(f"y_{name}", ["n", 4096]) for name in names]
    path.write_bytes(make(nodes, tensors, [value("x", ["n", 2048])], outputs).SerializeToString())
    command = [sys.executable, "-c", MEASURE, str(path), str(tmp_path / "q.onnx"), layout]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    assert int(done.stdout) < 130e6 + limit * len(block)


def test_a_model_that_is_no_file(tmp_path):
    with pytest.raises(CheckpointError, match="is no file"):
        quantize_onnx(tmp_path, tmp_path / "q.onnx", Int8())
