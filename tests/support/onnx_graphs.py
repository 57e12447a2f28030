"""Small ONNX models for the tests of quantizing them, and what they should compute afterwards."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from trilobite.quant.formats import Format
from trilobite.quant.onnx.dequantize import from_rows, to_rows

FLOAT = TensorProto.FLOAT


def random(shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def make(nodes, tensors, inputs, outputs, opset=21, ir=10, functions=(), domains=()) -> ModelProto:
    """A model; ``tensors`` maps names to arrays or is a list of ``TensorProto``."""
    if isinstance(tensors, dict):
        tensors = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(each, 1) for each in domains)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=ir, functions=list(functions)
    )


def perceptron(opset=21, ir=10, dtype=np.float32) -> ModelProto:
    """A MatMul of three axes, Relu, and a Gemm with everything that Gemm has."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], "matmul"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Reshape", ["b", "flat"], ["c"]),
        helper.make_node("Gemm", ["c", "second", "bias"], ["y"], "gemm", transB=1, alpha=0.75,
                         beta=1.5),
    ]
    tensors = {
        "first": random((64, 96), 1, dtype), "second": random((40, 96), 2, dtype),
        "bias": random((40,), 3, dtype), "flat": np.array([-1, 96]),
    }
    inputs = [value("x", ["batch", "tokens", 64], kind)]
    if ir < 4:
        inputs += [value(name, array.shape, helper.np_dtype_to_tensor_dtype(array.dtype))
                   for name, array in tensors.items()]
    return make(nodes, tensors, inputs, [value("y", ["n", 40], kind)], opset, ir)


def branches(opset=21) -> ModelProto:
    """An If whose branches multiply with a weight of their own, and with one of the outer graph."""
    def branch(name, own):
        nodes = [
            helper.make_node("MatMul", ["x", "shared"], ["a"]),
            helper.make_node("MatMul", ["a", own], [f"{name}_out"]),
        ]
        tensors = [numpy_helper.from_array(random((32, 8), len(name)), own)]
        return helper.make_graph(nodes, name, [], [value(f"{name}_out", ["n", 8])], tensors)

    node = helper.make_node("If", ["condition"], ["y"], then_branch=branch("then", "own_then"),
                            else_branch=branch("otherwise", "own_else"))
    inputs = [value("x", ["n", 64]), value("condition", [], TensorProto.BOOL)]
    return make([node], {"shared": random((64, 32), 4)}, inputs, [value("y", ["n", 8])], opset)


def loop() -> ModelProto:
    """A Loop that multiplies with the same outer weight again and again."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["state", "w"], ["next"]),
         helper.make_node("Identity", ["going"], ["still"])],
        "body",
        [value("i", [], TensorProto.INT64), value("going", [], TensorProto.BOOL),
         value("state", ["n", 32])],
        [value("still", [], TensorProto.BOOL), value("next", ["n", 32])],
    )
    node = helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)
    tensors = {"w": random((32, 32), 5) / 6, "count": np.array(3)}
    return make([node], tensors, [value("x", ["n", 32])], [value("y", ["n", 32])])


def chained(dtype=np.float32) -> ModelProto:
    """A weight [M, K] that reaches MatMul through Identity, Cast and Transpose."""
    nodes = [
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("Cast", ["same"], ["cast"], to=FLOAT),
        helper.make_node("Transpose", ["cast"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    return make(nodes, {"w": random((24, 64), 6, dtype)}, [value("x", ["n", 64])],
                [value("y", ["n", 24])])


def constant_node() -> ModelProto:
    """The weight in a Constant node."""
    tensor = numpy_helper.from_array(random((64, 16), 7))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    return make(nodes, {}, [value("x", ["n", 64])], [value("y", ["n", 16])])


def looked_up() -> ModelProto:
    """A weight that Gather reads as well."""
    nodes = [
        helper.make_node("Gather", ["w", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["y"]),
    ]
    return make(nodes, {"w": random((64, 64), 8)}, [value("ids", ["n"], TensorProto.INT64)],
                [value("y", ["n", 64])])


def shared() -> ModelProto:
    """One weight for two products, and a value that is reported too."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    return make(nodes, {"w": random((64, 64), 9) / 8}, [value("x", ["n", 64])],
                [value("y", ["n", 64]), value("a", ["n", 64])])


def batched() -> ModelProto:
    """A weight with three axes."""
    return make([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": random((3, 64, 20), 10)},
                [value("x", [3, "n", 64])], [value("y", [3, "n", 20])])


def on_the_left() -> ModelProto:
    """The weight as the first factor, with a Gemm that transposes one."""
    nodes = [
        helper.make_node("MatMul", ["w", "x"], ["a"]),
        helper.make_node("Gemm", ["v", "a"], ["y"], transA=1),
    ]
    return make(nodes, {"w": random((32, 64), 11), "v": random((32, 12), 12)},
                [value("x", [64, 5])], [value("y", [12, 5])])


# name: builder, the summed axis of each weight, the inputs.
GRAPHS: dict[str, tuple[Callable[[], ModelProto], dict[str, int], dict[str, np.ndarray]]] = {
    "perceptron": (perceptron, {"first": 0, "second": 1}, {"x": random((2, 3, 64))}),
    "branches": (branches, {"shared": 0, "own_then": 0, "own_else": 0},
                 {"x": random((3, 64)), "condition": np.array(True)}),
    "loop": (loop, {"w": 0}, {"x": random((3, 32))}),
    "chained": (chained, {"w": 1}, {"x": random((3, 64))}),
    "constant": (constant_node, {"w": 0}, {"x": random((3, 64))}),
    "shared": (shared, {"w": 0}, {"x": random((3, 64))}),
    "batched": (batched, {"w": 1}, {"x": random((3, 4, 64))}),
    "left": (on_the_left, {"w": 1, "v": 0}, {"x": random((64, 5))}),
}


def rounded(model: ModelProto, form: Format, axes: dict[str, int]) -> ModelProto:
    """The model with its float weights replaced by what ``form`` makes of them."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for name, tensor in _constants(copy.graph):
        if name in axes:
            weight = numpy_helper.to_array(tensor)
            matrix = np.ascontiguousarray(to_rows(weight.astype(np.float32), axes[name]))
            numbers = from_rows(form.quantize(matrix).dequantize(), weight.shape, axes[name])
            tensor.CopyFrom(numpy_helper.from_array(
                np.ascontiguousarray(numbers).astype(weight.dtype), tensor.name))
    return copy


def _constants(graph: GraphProto):
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "value":
                yield node.output[0], attribute.t
            if attribute.HasField("g"):
                yield from _constants(attribute.g)


def saved(folder: Path, model: ModelProto, external: bool = False) -> Path:
    """The model's file in ``folder``."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "model.onnx"
    copy = ModelProto()
    copy.CopyFrom(model)
    onnx.save_model(copy, path, save_as_external_data=external, location="weights.bin",
                    size_threshold=256)
    return path
