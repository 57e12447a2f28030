"""ONNX models quantized: onnxruntime computes what it does on the numbers that codes stand for."""

import json
import re

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import trilobite
from support.onnx_graphs import (
    GRAPHS,
    branches,
    chained,
    looked_up,
    make,
    on_the_left,
    perceptron,
    random,
    rounded,
    saved,
    value,
)
from support.onnx_models import OnnxDecoder, relative_difference, session
from trilobite.errors import FormatError
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.formats import (
    Fp8,
    GroupedTernary,
    Int2,
    Int3,
    Int4,
    Int4Fp8,
    Int8,
    Mxfp4,
    Nvfp4,
    Ternary,
)
from trilobite.quant.onnx.quantize import LAYOUTS, quantize_onnx

FORMS = [Int4(32), Int4(32, False), Int8(), Int3(None), Int2(32), GroupedTernary(32), Ternary(),
         Mxfp4(), Nvfp4(), Int4Fp8(32), Fp8("row"), Fp8("tensor")]
ERROR = 1e-6   # float32 sums in another order


def run(model, inputs, exact=True):
    return session(model, exact).run(None, inputs)[0]


def quantize(tmp_path, model, form, layout="qdq", **options):
    source = saved(tmp_path / "in", model)
    record = quantize_onnx(source, tmp_path / "out.onnx", form, layout, **options)
    onnx.checker.check_model(str(tmp_path / "out.onnx"), full_check=True)
    return record, onnx.load(tmp_path / "out.onnx")


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("name", GRAPHS)
def test_dequantized_weights_compute_what_their_numbers_do(tmp_path, name, form):
    build, axes, inputs = GRAPHS[name]
    record, model = quantize(tmp_path, build(), form)
    assert {each.name for each in record.tensors} == set(axes)
    assert not record.skipped
    expected = run(rounded(build(), form, axes), inputs)
    assert relative_difference(run(model, inputs), expected) < ERROR
    assert len(model.graph.node) > len(build().graph.node) or name == "constant"


@pytest.mark.parametrize("layout", ["matmulnbits", "matmulnbits-float"])
@pytest.mark.parametrize("form", FORMS[:-2], ids=str)
@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in ("batched", "left")])
def test_matmulnbits_computes_what_the_numbers_do(tmp_path, name, form, layout):
    build, axes, inputs = GRAPHS[name]
    record, model = quantize(tmp_path, build(), form, layout)
    assert {each.name for each in record.tensors} == set(axes)
    expected = run(rounded(build(), form, axes), inputs)
    difference = relative_difference(run(model, inputs), expected)
    assert difference < (ERROR if layout.endswith("float") else 0.05)
    kinds = re.findall(r"op_type: \"(\w+)\"", str(model))
    assert "MatMulNBits" in kinds and not {"MatMul", "Gemm", "Transpose"} & set(kinds)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", [Int8(), Int4(32)], ids=str)
def test_float16_weights(tmp_path, form, layout):
    inputs = {"x": random((2, 3, 64), dtype=np.float16)}
    record, model = quantize(tmp_path, perceptron(dtype=np.float16), form, layout)
    assert {each.stored_before for each in record.tensors} == {"F16"}
    expected = run(rounded(perceptron(dtype=np.float16), form, GRAPHS["perceptron"][1]), inputs)
    assert expected.dtype == np.float16
    assert relative_difference(run(model, inputs), expected) < (0.03 if "bits" in layout else 2e-3)


def test_bfloat16_weights_that_are_cast_are_not_rounded_again(tmp_path):
    record, model = quantize(tmp_path, chained(ml_dtypes.bfloat16), Int8())
    assert record.tensors[0].stored_before == "BF16"
    floats = chained()
    numbers = random((24, 64), 6, ml_dtypes.bfloat16).astype(np.float32)
    floats.graph.initializer[0].CopyFrom(numpy_helper.from_array(numbers, "w"))
    inputs = GRAPHS["chained"][2]
    expected = run(rounded(floats, Int8(), {"w": 1}), inputs)
    assert relative_difference(run(model, inputs), expected) < ERROR


@pytest.mark.parametrize("layout", ["qdq", "matmulnbits-float"])
def test_bfloat16_products_stay_bfloat16(tmp_path, layout):
    kind = TensorProto.BFLOAT16
    built = make([helper.make_node("MatMul", ["x", "w"], ["y"])],
                 {"w": random((64, 8), 6, ml_dtypes.bfloat16)},
                 [value("x", [3, 64], kind)], [value("y", [3, 8], kind)])
    _, model = quantize(tmp_path, built, Int8(), layout)
    casts = [each.attribute[0].i for each in model.graph.node if each.op_type == "Cast"]
    assert casts == ([kind] if layout == "qdq" else [TensorProto.FLOAT, kind])
    if layout == "qdq":
        x = random((3, 64), 1, ml_dtypes.bfloat16)
        expected, = ReferenceEvaluator(rounded(built, Int8(), {"w": 0})).run(None, {"x": x})
        found, = ReferenceEvaluator(model).run(None, {"x": x})
        np.testing.assert_array_equal(found, expected)


def test_bytes_and_errors_of_the_record(tmp_path):
    record, model = quantize(tmp_path, perceptron(), Int4(32))
    first, second = record.tensors
    assert (first.name, first.shape, second.shape) == ("first", (64, 96), (40, 96))
    assert first.bytes_before == 4 * 64 * 96
    assert first.bytes_after == 64 * 96 // 2 + 4 * 2 * 96
    weight = random((64, 96), 1).T
    error = Int4(32).quantize(np.ascontiguousarray(weight)).dequantize() - weight
    assert first.nmse == pytest.approx((error**2).sum() / (weight**2).sum(), rel=1e-5)
    assert first.max_abs_error == pytest.approx(np.abs(error).max(), rel=1e-5)
    written = json.loads((tmp_path / "out.onnx.manifest.json").read_text())
    assert written == json.loads(record.to_json())
    stored = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer}
    assert stored["first_codes"] + stored["first_scale"] == first.bytes_after


def test_a_weight_that_is_looked_up_too_keeps_its_floats(tmp_path):
    ids = np.array([5, 63, 0])
    for layout in LAYOUTS:
        record, model = quantize(tmp_path, looked_up(), Int4(32), layout, overwrite=True)
        assert len(record.tensors) == 1
        weight = random((64, 64), 8)
        numbers = Int4(32).quantize(np.ascontiguousarray(weight.T)).dequantize().T
        difference = relative_difference(run(model, {"ids": ids}), weight[ids] @ numbers)
        assert difference < (0.05 if layout == "matmulnbits" else ERROR)


def test_what_stays_float_is_listed_with_the_reason(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "odd"], ["a"]),
        helper.make_node("MatMul", ["x", "good"], ["b"]),
        helper.make_node("MatMul", ["x", "double"], ["c"]),
        helper.make_node("Transpose", ["tied"], ["turned"]),
        helper.make_node("MatMul", ["x", "turned"], ["d"]),
        helper.make_node("Gather", ["tied", "ids"], ["e"]),
        helper.make_node("MatMul", ["x", "given"], ["f"]),
        helper.make_node("Gemm", ["x", "both"], ["g"]),
        helper.make_node("Gemm", ["x", "both"], ["h"], transB=1),
        helper.make_node("Add", ["x", "added"], ["i"]),
    ]
    tensors = {
        "odd": random((100, 8)), "good": random((64, 8)), "tied": random((9, 64)),
        "double": random((64, 8)).astype(np.float64), "given": random((64, 8)),
        "both": random((64, 64)), "added": random((64, 64)), "ids": np.array([1, 2]),
    }
    nodes[0].input[0] = "wide"
    nodes[2].input[0] = "deep"
    inputs = [value("x", [64, 64]), value("wide", [2, 100]), value("given", [64, 8]),
              value("deep", [2, 64], TensorProto.DOUBLE)]
    kinds = {"c": TensorProto.DOUBLE}
    outputs = [value(name, ["rows", "columns"], kinds.get(name, TensorProto.FLOAT))
               for name in "abcdefghi"]
    record, _ = quantize(tmp_path, make(nodes, tensors, inputs, outputs), Int4(32),
                         allow_float=True)
    assert [each.name for each in record.tensors] == ["good"]
    reasons = {each.name: each.reason for each in record.skipped}
    assert set(reasons) == {"odd", "double", "tied", "given", "both"}
    assert "K = 100 is not a multiple of the group size 32" in reasons["odd"]
    assert reasons["double"].startswith("its type is DOUBLE")
    assert reasons["tied"] == "Gather reads it too"
    assert "a caller may replace" in reasons["given"]
    assert "different axes" in reasons["both"]
    assert [(each.name, each.reason) for each in record.kept] == [("added", "read by Add")]
    with pytest.raises(FormatError, match=r"odd \[100, 8\] cannot be quantized"):
        quantize_onnx(tmp_path / "in" / "model.onnx", tmp_path / "s.onnx", Int4(32), strict=True)
    with pytest.raises(FormatError) as caught:
        quantize_onnx(tmp_path / "in" / "model.onnx", tmp_path / "s.onnx", Int4(32))
    unfit, share = str(caught.value).splitlines()   # what the graph keeps does not count
    assert "odd [100, 8] cannot be quantized" in unfit
    assert share.startswith("61% of these weights would stay float, more than 5%")
    with pytest.raises(FormatError, match="it is the left factor"):
        quantize_onnx(saved(tmp_path / "left", on_the_left()), tmp_path / "l.onnx", Int8(),
                      "matmulnbits")
    assert not (tmp_path / "s.onnx").exists() and not (tmp_path / "l.onnx").exists()


def test_groups_that_nobody_gave_fit(tmp_path):
    record, _ = quantize(tmp_path, perceptron(), "int4")   # K = 64 and 96
    assert record.format == Int4(32).spec()
    assert "Groups of 128 columns do not fit 2 of 2 matrices" in record.warnings[0]


def test_names_that_are_taken_stay_whose_they_are(tmp_path):
    model = perceptron()
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = {"a": "first_codes", "b": "first_scale"}.get(name, name)
    _, written = quantize(tmp_path, model, Int4(32))
    expected = run(rounded(perceptron(), Int4(32), GRAPHS["perceptron"][1]),
                   GRAPHS["perceptron"][2])
    assert relative_difference(run(written, GRAPHS["perceptron"][2]), expected) < ERROR


@pytest.mark.parametrize("form", [Int8(), Int4(32), Int2(32), Fp8()], ids=str)
@pytest.mark.parametrize(("opset", "ir"), [(9, 3), (11, 6), (13, 7), (17, 8), (22, 10)])
def test_the_opset_is_raised_only_where_the_format_needs_it(tmp_path, opset, ir, form):
    model = perceptron(opset, ir)
    record, written = quantize(tmp_path, model, form)
    needed = {"int8": 13, "int4": 21, "int2": 25, "fp8": 19}[form.name]
    assert (record.opset_before, record.opset_after) == (opset, max(opset, needed))
    assert written.opset_import[0].version == max(opset, needed)
    assert {each.name for each in written.graph.input} == {"x"} or ir < 4
    inputs = GRAPHS["perceptron"][2]
    expected = run(rounded(model, form, GRAPHS["perceptron"][1]), inputs)
    assert relative_difference(run(written, inputs), expected) < ERROR


@pytest.mark.parametrize(("opset", "ir"), [(9, 3), (11, 6)])
def test_matmulnbits_needs_no_later_opset(tmp_path, opset, ir):
    record, written = quantize(tmp_path, perceptron(opset, ir), Int4(32), "matmulnbits-float")
    assert record.opset_after == opset and written.ir_version == max(ir, 4)
    inputs = GRAPHS["perceptron"][2]
    expected = run(rounded(perceptron(), Int4(32), GRAPHS["perceptron"][1]), inputs)
    assert relative_difference(run(written, inputs), expected) < ERROR


def test_subgraphs_are_raised_too(tmp_path):
    record, written = quantize(tmp_path, branches(opset=13), Int4(None))
    assert record.opset_after == 21
    _, axes, inputs = GRAPHS["branches"]
    expected = run(rounded(branches(), Int4(None), axes), inputs)
    assert relative_difference(run(written, inputs), expected) < ERROR


def with_function(opset):
    """The perceptron with a local function, and a weight that a function gets."""
    function = helper.make_function(
        "local", "Twice", ["a", "w"], ["b"],
        [helper.make_node("MatMul", ["a", "w"], ["c"]), helper.make_node("Add", ["c", "c"], ["b"])],
        [helper.make_opsetid("", opset)],
    )
    nodes = [
        helper.make_node("Twice", ["x", "inner"], ["a"], domain="local"),
        helper.make_node("MatMul", ["a", "outer"], ["y"]),
    ]
    tensors = {"inner": random((64, 64), 1), "outer": random((64, 32), 2)}
    return make(nodes, tensors, [value("x", ["n", 64])], [value("y", ["n", 32])], opset,
                functions=[function], domains=["local"])


def test_local_functions_stay_as_they_are(tmp_path):
    record, written = quantize(tmp_path, with_function(21), Int4(32))
    assert [each.name for each in record.tensors] == ["outer"]
    assert [(each.name, each.reason) for each in record.kept] == [("inner", "read by Twice")]
    assert written.functions == with_function(21).functions
    inputs = {"x": random((3, 64))}
    expected = run(rounded(with_function(21), Int4(32), {"outer": 0}), inputs)
    assert relative_difference(run(written, inputs), expected) < ERROR
    with pytest.raises(FormatError, match=r"has opset 17.*drops local functions: --as matmulnbits"):
        quantize(tmp_path, with_function(17), Int4(32), overwrite=True)


def test_external_data_in_and_out(tmp_path):
    source = saved(tmp_path / "in", perceptron(), external=True)
    record = quantize_onnx(source, tmp_path / "out.onnx", Int4(32))
    assert [file.name for file in record.source.files] == ["model.onnx", "weights.bin"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in", "out.onnx", "out.onnx.data", "out.onnx.manifest.json"
    ]
    skeleton = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    outside = {tensor.name for tensor in skeleton.graph.initializer
               if tensor.data_location == TensorProto.EXTERNAL}
    assert outside == {"first_codes", "second_codes"}   # the small ones are inside
    build, axes, inputs = GRAPHS["perceptron"]
    expected = run(rounded(build(), Int4(32), axes), inputs)
    assert relative_difference(run(tmp_path / "out.onnx", inputs), expected) < ERROR


def test_large_constants_that_stay_come_along(tmp_path):
    tensor = numpy_helper.from_array(random((40, 40), 20), "c")
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor),
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "c"], ["b"]),
        helper.make_node("Mul", ["b", "d"], ["y"]),
    ]
    model = make(nodes, {"w": random((64, 40), 21), "d": random((40, 40), 22)},
                 [value("x", [40, 64])], [value("y", [40, 40])])
    inputs = {"x": random((40, 64))}
    expected = run(rounded(model, Int8(), {"w": 0}), inputs)
    for external in (False, True):
        source = saved(tmp_path / "in", model, external)
        quantize_onnx(source, tmp_path / "out.onnx", Int8(), overwrite=True)
        assert (tmp_path / "out.onnx.data").exists() == external
        assert relative_difference(run(tmp_path / "out.onnx", inputs), expected) < ERROR


def test_numbers_in_typed_fields(tmp_path):
    weight = random((64, 8))
    for kind, dtype in ((TensorProto.FLOAT, np.float32), (TensorProto.FLOAT16, np.float16)):
        tensor = helper.make_tensor("w", kind, [64, 8], weight.astype(dtype).reshape(-1))
        assert not tensor.HasField("raw_data")
        model = make([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor],
                     [value("x", ["n", 64], kind)], [value("y", ["n", 8], kind)])
        record, written = quantize(tmp_path, model, Int8(), overwrite=True)
        inputs = {"x": random((3, 64), dtype=dtype)}
        expected = run(rounded(model, Int8(), {"w": 0}), inputs)
        assert relative_difference(run(written, inputs), expected) < (
            ERROR if dtype == np.float32 else 2e-3)
        assert record.tensors[0].bytes_before == weight.astype(dtype).nbytes


def test_an_exported_decoder_is_quantized_as_its_checkpoint_is(tmp_path):
    export("demo-llama", tmp_path / "float", EXPORTERS["onnx"])
    source = tmp_path / "float" / "model.onnx"
    record = quantize_onnx(source, tmp_path / "q.onnx", Int4(64, False))
    assert len(record.tensors) == 4 * 7
    assert [(each.name, each.reason) for each in record.skipped] == [
        ("model.embed_tokens.weight", "Gather reads it too")
    ]
    manifest = trilobite.quantize(
        "demo-llama", tmp_path / "folder", Int4(64, symmetric=False), embedding="keep"
    )
    errors = {each.name: each.nmse for each in manifest.tensors}
    assert all(each.nmse == errors[each.name] for each in record.tensors)
    export(tmp_path / "folder", tmp_path / "out", EXPORTERS["onnx"])
    tokens = [[0, 335, 835, 17, 500, 3, 88, 9]]
    for file in ("q.onnx", "q.onnx.data"):
        (tmp_path / file).rename(tmp_path / "float" / file)
    (tmp_path / "float" / "q.onnx").rename(source)
    found, expected = (OnnxDecoder(tmp_path / folder) for folder in ("float", "out"))
    logits = [each.feed(tokens, each.start())[0] for each in (found, expected)]
    assert relative_difference(*logits) < ERROR


def test_a_torch_export(tmp_path):
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(64, 96), torch.nn.GELU(), torch.nn.Linear(96, 32, bias=False)
    ).eval()
    torch.onnx.export(
        network, torch.zeros(2, 5, 64), tmp_path / "model.onnx", dynamo=False, opset_version=17,
        input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}},
    )
    record = quantize_onnx(tmp_path / "model.onnx", tmp_path / "out.onnx", Int4(32), strict=True)
    assert [each.shape for each in record.tensors] in ([(64, 96), (96, 32)], [(96, 64), (32, 96)])
    x = torch.randn(2, 5, 64)
    with torch.no_grad():
        for layer in (network[0], network[2]):
            layer.weight.copy_(torch.from_numpy(
                Int4(32).quantize(layer.weight.numpy()).dequantize()))
        expected = network(x).numpy()
    found = run(tmp_path / "out.onnx", {"x": x.numpy()})
    assert relative_difference(found, expected) < 1e-5
