"""Models of strangers: every damage is a clear error, found before memory is taken."""

import os
import random as random_module
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from support.onnx_graphs import branches, make, perceptron, random, saved, value
from support.onnx_mutations import attempt, corpus, mutant, place_outside, prepare
from trilobite.errors import CheckpointError, FormatError
from trilobite.quant.formats import Int4, Int8
from trilobite.quant.onnx import opset, wire
from trilobite.quant.onnx.model import open_onnx
from trilobite.quant.onnx.payload import Payload, Payloads
from trilobite.quant.onnx.quantize import quantize_onnx
from trilobite.quant.onnx.structure import tensors_of
from trilobite.quant.onnx.wire import read_skeleton

SEEDS = corpus()


def refused(tmp_path, model, match):
    data = model.SerializeToString() if isinstance(model, ModelProto) else model
    path = prepare(tmp_path / "model")
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=match) as error:
        open_onnx(path)
    assert str(path) in str(error.value)


def test_a_pipe_is_no_model_and_holds_no_weights(tmp_path):
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointError, match="model.onnx is a pipe; it must be a regular file"):
        read_skeleton(pipe)
    with pytest.raises(CheckpointError, match="model.onnx is a pipe; it must be a regular file"):
        next(Payloads(pipe, {}).blocks(Payload(8, file=pipe)))


def multiply(**tensor):
    """One MatMul; fields of its weight changed."""
    model = make([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": random((64, 8))},
                 [value("x", ["n", 64])], [value("y", ["n", 8])])
    weight = model.graph.initializer[0]
    for name, entry in tensor.items():
        if name == "dims":
            del weight.dims[:]
            weight.dims.extend(entry)
        else:
            setattr(weight, name, entry)
    return model


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_models_give_clear_errors_or_models(seed):
    chance = random_module.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = prepare(Path(folder) / "models")
        attempt(path, mutant(SEEDS, chance), Int8(), "matmulnbits-float")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_model(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        with pytest.raises(CheckpointError):
            open_onnx(path)


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_the_skeleton_and_what_was_left_out_are_the_whole_file(index):
    data = SEEDS[index].SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        skeleton = read_skeleton(path)
        parsed = ModelProto.FromString(skeleton.data)
        for tensor in tensors_of(parsed):
            if tensor.raw_data in skeleton.payloads:
                offset, length = skeleton.payloads[tensor.raw_data]
                tensor.raw_data = data[offset:offset + length]
        assert parsed == ModelProto.FromString(data)
        assert len(skeleton.data) < 4000


@pytest.mark.parametrize("location", [
    "/etc/passwd", "../secret", "a/../../secret", "link", "", "pipe", "folder", "nothing",
    "x" * 999, "circle", "weights.bin\0",
])
def test_external_data_stays_in_the_folder(tmp_path, location):
    model = multiply()
    path = prepare(tmp_path / "model")
    (tmp_path / "secret").write_bytes(bytes(4096))
    (path.parent / "folder").mkdir()
    (path.parent / "circle").symlink_to("circle")
    os.mkfifo(path.parent / "pipe")
    place_outside(model.graph.initializer[0], location, 0, 2048)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"tensor w (is said to lie|lies) in"):
        open_onnx(path)


@pytest.mark.parametrize("constants", [True, False], ids=["constants", "initializers"])
def test_bytes_that_many_tensors_share_are_counted_before_they_are_read(tmp_path, constants):
    path = prepare(tmp_path / "model")
    model = multiply()
    for index in range(40):
        name = f"c{index}"
        shared = helper.make_tensor(name, TensorProto.FLOAT, [128, 64], bytes(32768), raw=True)
        place_outside(shared, "weights.bin", 0, 32768)
        if constants:
            model.graph.node.append(helper.make_node("Constant", [], [name], value=shared))
        else:
            model.graph.initializer.append(shared)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"take 13\d+ bytes, and the files"):
        open_onnx(path)


def test_tied_weights_may_share_their_bytes(tmp_path):
    path = prepare(tmp_path / "model")
    model = multiply()
    place_outside(model.graph.initializer[0], "weights.bin", 0, 2048)
    tied = TensorProto()
    tied.CopyFrom(model.graph.initializer[0])
    tied.name = "tied"
    model.graph.initializer.append(tied)
    path.write_bytes(model.SerializeToString())
    assert len(open_onnx(path).files()) == 2


def test_a_link_within_the_folder_is_followed(tmp_path):
    path = prepare(tmp_path / "model")
    (path.parent / "inner").symlink_to("weights.bin")
    model = multiply()
    place_outside(model.graph.initializer[0], "inner", 64, 2048)
    path.write_bytes(model.SerializeToString())
    assert [file.name for file in open_onnx(path).files()] == ["model.onnx", "weights.bin"]


@pytest.mark.parametrize(("offset", "length", "match"), [
    (0, 2047, "has 2047 bytes; FLOAT of shape"), (65536, 2048, "but that file has 65536"),
    ("-1", 2048, "its offset is '-1'; it must be a whole number"),
    (0, "2e3", "its length is '2e3'"),
    (2**63, 2048, "but that file has"), ("9" * 30, 2048, "its offset"),
])
def test_places_of_external_data(tmp_path, offset, length, match):
    model = multiply()
    place_outside(model.graph.initializer[0], "weights.bin", offset, length)
    refused(tmp_path, model, match)


@pytest.mark.parametrize(("change", "match"), [
    ({"dims": [64, 9]}, "has 2048 bytes; FLOAT of shape \\[64, 9\\] takes 2304"),
    ({"dims": [2**40, 2**40]}, "which no memory holds"),
    ({"dims": [2**31, 2**30]}, "has 2048 bytes; FLOAT"),
    ({"dims": [-64, -8]}, "no list of sizes"),
    ({"dims": [1] * 100}, "no list of sizes"),
    ({"data_type": 99}, "has the type 99, which is none"),
    ({"data_type": 0}, "has the type 0"),
    ({"data_type": TensorProto.STRING}, "STRING of shape"),
    ({"data_type": TensorProto.DOUBLE}, "DOUBLE of shape"),
    ({"raw_data": b""}, "has 0 bytes"),
    ({"raw_data": bytes(10**6)}, "has 1000000 bytes"),
])
def test_shapes_types_and_lengths_must_agree(tmp_path, change, match):
    refused(tmp_path, multiply(**change), match)


def test_numbers_in_typed_fields_must_be_as_many_as_the_shape_says(tmp_path):
    model = multiply()
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].float_data.extend([1.0] * 511)
    refused(tmp_path, model, "holds 511 numbers; its shape \\[64, 8\\] takes 512")


def test_cycles(tmp_path):
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"])]
    model = make(nodes, {}, [value("x", [3])], [value("b", [3])])
    refused(tmp_path, model, "reads b, which only a later node computes: the graph has a cycle")
    model.graph.node[0].input[1] = "a"
    refused(tmp_path, model, "reads a, which only a later node computes")
    model.graph.node[0].input[1] = "c"
    refused(tmp_path, model, "reads c, which nothing gives")
    model.graph.node[0].input[1] = "x"
    model.graph.node[1].output[0] = "a"
    refused(tmp_path, model, "a is computed or given twice")


def test_cycles_in_subgraphs(tmp_path):
    model = branches()
    inner = model.graph.node[0].attribute[0].g
    inner.node[0].input[0] = inner.node[1].output[0]
    refused(tmp_path, model, "which only a later node computes")


@pytest.mark.parametrize("length", [1, 2, 30])
def test_functions_that_call_each_other_in_a_circle(tmp_path, length):
    names = [f"f{index}" for index in range(length)]
    functions = [
        helper.make_function("local", name, ["a"], ["b"], [
            helper.make_node(names[(index + 1) % length], ["a"], ["b"], domain="local")
        ], [helper.make_opsetid("local", 1)])
        for index, name in enumerate(names)
    ]
    model = make([helper.make_node("f0", ["x"], ["y"], domain="local")], {}, [value("x", [3])],
                 [value("y", [3])], functions=functions, domains=["local"])
    refused(tmp_path, model, "calls f.*they never end")


@pytest.mark.parametrize("depth", [10, 30, 200])
def test_deep_nesting(tmp_path, depth):
    graph = make([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": random((64, 8))},
                 [value("x", ["n", 64]), value("c", [], TensorProto.BOOL)],
                 [value("y", ["n", 8])]).graph
    data = graph.SerializeToString()
    for _ in range(depth):   # by hand: protobuf itself does not write what is too deep
        attribute = field(1, b"then_branch") + field(6, data) + b"\xa0\x01\x05"
        node = field(1, b"c") + field(2, b"y") + field(4, b"If") + field(5, attribute)
        data = field(1, node) + field(2, b"g") + field(12, field(1, b"y")) + field(11, field(
            1, b"c")) + field(11, field(1, b"x"))
    model = b"\x08\x0a" + field(7, data) + field(8, b"\x10\x15")
    if depth > 30:
        refused(tmp_path, model, "nests messages deeper than 100")
    else:
        (tmp_path / "deep.onnx").write_bytes(model)
        assert open_onnx(tmp_path / "deep.onnx").opset == 21


def field(number, content):
    """A length-delimited field of a message."""
    size, prefix = len(content), bytearray()
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes([*prefix, size]) + content


@pytest.mark.parametrize(("data", "match"), [
    (b"", "ir_version"), (b"not a model at all", "no ONNX model"),
    (b"\x3a\xff\xff\xff\xff\x0f", "claims 4294967295 bytes where 0 are left"),
    (b"\x08" + b"\xff" * 11, "integer of more than ten bytes"), (b"\x0b", "wire type 3"),
    (b"\x08", "cut short"), (b"\x12\x02\xff\xfe", "a producer_name that is not UTF-8"),
])
def test_bytes_that_are_no_model(tmp_path, data, match):
    refused(tmp_path, data, match)


def test_many_empty_messages_are_counted_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(wire, "FIELD_LIMIT", 10_000)
    refused(tmp_path, field(7, b"\x0a\x00" * 20_000), "has more than 10000 fields")


def test_many_bytes_outside_of_raw_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(wire, "SKELETON_LIMIT", 10_000)
    model = multiply()
    model.doc_string = "x" * 10_000
    refused(tmp_path, model, "MiB outside of raw tensors")
    model.doc_string = ""
    model.graph.initializer[0].CopyFrom(TensorProto(
        name="w", data_type=1, dims=[64, 8], raw_data=bytes(2048)))
    (tmp_path / "ok.onnx").write_bytes(model.SerializeToString())
    assert open_onnx(tmp_path / "ok.onnx").opset == 21


def test_versions(tmp_path):
    for version, match in ((2, "ir_version\\) 2; 3 to"), (99, "99; 3 to")):
        model = multiply()
        model.ir_version = version
        refused(tmp_path, model, match)
    model = multiply()
    del model.opset_import[:]
    refused(tmp_path, model, "imports the versions \\[\\] of ONNX's operators")
    model = multiply()
    model.graph.ClearField("node")
    refused(tmp_path, model, "has no graph with nodes")


def test_a_claim_of_terabytes_takes_no_memory(tmp_path):
    """A sparse file of 1 TB would be read only as far as the tensor is asked for."""
    path = prepare(tmp_path / "model")
    model = multiply(dims=[2**20, 2**18])
    place_outside(model.graph.initializer[0], "weights.bin", 0, 2**40)
    path.write_bytes(model.SerializeToString())
    code = (
        "import resource, sys\nfrom trilobite.quant.onnx.model import open_onnx\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "try:\n    open_onnx(sys.argv[1])\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True,
                         check=True)
    assert run.stdout.startswith("CheckpointError") and "that file has 65536" in run.stdout


def test_a_converter_that_fails_is_a_clear_error(tmp_path, monkeypatch):
    source = saved(tmp_path / "in", perceptron(opset=11, ir=6))
    for code, match in (
        ("import os; os.abort()", "it ended with -6"), ("raise ValueError('no')", "ValueError: no"),
        ("print('nonsense')", "gave no model"),
    ):
        monkeypatch.setattr(opset, "_CONVERT", code)
        with pytest.raises(FormatError, match=f"opset 11.*{match}.*--as matmulnbits needs no"):
            quantize_onnx(source, tmp_path / "out.onnx", Int4(32))
    monkeypatch.setattr(opset, "_CONVERT", "import time; time.sleep(30)")
    monkeypatch.setattr(opset, "_SECONDS", 0.2)
    with pytest.raises(FormatError, match=r"took over 0.2 s"):
        quantize_onnx(source, tmp_path / "out.onnx", Int4(32))


def test_a_converter_that_loses_something_is_found_out(tmp_path, monkeypatch):
    source = saved(tmp_path / "in", perceptron(opset=11, ir=6))
    convert = opset._CONVERT
    for line, match in (
        ("converted.graph.initializer.pop(0)", "changed a tensor"),
        ("converted.graph.output[0].name = 'other'", "changed the outputs"),
    ):
        code = convert.replace("sys.stdout", f"{line}\nsys.stdout")
        monkeypatch.setattr(opset, "_CONVERT", code)
        with pytest.raises(FormatError, match=match):
            quantize_onnx(source, tmp_path / "out.onnx", Int4(32))


def test_names_are_shown_escaped(tmp_path):
    model = multiply(name="w\x1b[31m\n", dims=[64, 9])
    model.graph.node[0].input[1] = "w\x1b[31m\n"
    refused(tmp_path, model, r"tensor w\\u001b\[31m\\n has")


def test_a_weight_of_strings_or_nothing_is_no_weight(tmp_path):
    model = multiply(dims=[64, 0], raw_data=b"")
    path = saved(tmp_path / "in", model)
    with pytest.raises(FormatError, match="has no weight of MatMul or Gemm"):
        quantize_onnx(path, tmp_path / "out.onnx", Int8())
    assert np.prod(onnx.load(path).graph.initializer[0].dims) == 0
