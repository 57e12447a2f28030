"""Damaged and hostile ONNX models: bytes changed at random, fields set to what nobody writes."""

import random
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from support.onnx_graphs import GRAPHS, looked_up, make, value
from trilobite.errors import TrilobiteError
from trilobite.quant.formats import Format
from trilobite.quant.onnx.model import open_onnx
from trilobite.quant.onnx.quantize import quantize_onnx

EXTERNAL = "weights.bin"
LOCATIONS = (
    "/etc/passwd", "../model.onnx", "..", ".", "", "a/../../b", "weights.bin/x", "model.onnx",
    "link", "pipe", "weights.bin\0", "x" * 5000, "~/.bashrc", "C:\\x", EXTERNAL,
)
NUMBERS = ("-1", "0", "1", "4096", "99999999999999999999", "18446744073709551615", "1e3", "", "٣",
           "9223372036854775807", " 8", "0x10")
SIZES = (0, 1, 7, 32, 64, -1, 2**31, 2**40, 2**62, 2**63 - 1)


def corpus() -> list[ModelProto]:
    """The models that mutations begin with."""
    function = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 21)],
    )
    called = make(
        [helper.make_node("Twice", ["x"], ["a"], domain="local"),
         helper.make_node("MatMul", ["a", "w"], ["y"])],
        {"w": np.ones((32, 8), np.float32)}, [value("x", ["n", 32])], [value("y", ["n", 8])],
        functions=[function], domains=["local"],
    )
    outside = GRAPHS["perceptron"][0]()
    for tensor in outside.graph.initializer[:2]:
        place_outside(tensor, EXTERNAL, 0, 4 * int(np.prod(tensor.dims)))
    return [build() for build, _, _ in GRAPHS.values()] + [looked_up(), called, outside]


def place_outside(tensor: TensorProto, location: str, offset: object, length: object) -> None:
    """Say that a tensor's bytes lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, entry in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(entry))


def change_bytes(data: bytes, chance: random.Random) -> bytes:
    """A few bytes flipped, cut, doubled, moved or overwritten."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        if not changed:
            break
        begin = chance.randrange(len(changed))
        end = min(len(changed), begin + chance.choice((1, 2, 8, 100)))
        action = chance.randrange(5)
        if action == 0:
            changed[begin] ^= 1 << chance.randrange(8)
        elif action == 1:
            del changed[begin:end]
        elif action == 2:
            changed[begin:begin] = changed[begin:end] * chance.choice((1, 3, 50))
        elif action == 3:
            changed[begin:end] = chance.randbytes(end - begin)
        else:
            changed[begin] = chance.choice((0, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def change_fields(model: ModelProto, chance: random.Random) -> None:
    """A few fields of a model set to something else."""
    for _ in range(chance.randint(1, 4)):
        chance.choice((
            _change_tensor, _change_tensor, _change_place, _change_edge, _change_versions,
            _change_node, _change_names,
        ))(model, chance)


def _change_tensor(model: ModelProto, chance: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor = chance.choice(model.graph.initializer)
    action = chance.randrange(6)
    if action == 0:
        tensor.data_type = chance.choice((0, 1, 8, 10, 16, 22, 25, 99, -3))
    elif action == 1:
        tensor.dims.append(chance.choice(SIZES))
    elif action == 2 and tensor.dims:
        tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(SIZES)
    elif action == 3:
        tensor.raw_data = tensor.raw_data[:chance.randrange(len(tensor.raw_data) + 1)]
    elif action == 4:
        tensor.ClearField("raw_data")
        tensor.float_data.extend([1.0] * chance.choice((0, 1, 64)))
    else:
        tensor.raw_data = np.full(max(0, len(tensor.raw_data) // 4), np.nan, np.float32).tobytes()


def _change_place(model: ModelProto, chance: random.Random) -> None:
    if model.graph.initializer:
        place_outside(chance.choice(model.graph.initializer), chance.choice(LOCATIONS),
                      chance.choice(NUMBERS), chance.choice(NUMBERS))


def _change_edge(model: ModelProto, chance: random.Random) -> None:
    """Connect a node to any name: cycles, self-loops, weights in places of activations."""
    node = chance.choice(model.graph.node) if model.graph.node else None
    names = [name for each in model.graph.node for name in (*each.input, *each.output)]
    if node is not None and node.input and names:
        node.input[chance.randrange(len(node.input))] = chance.choice([*names, "", "nothing"])


def _change_versions(model: ModelProto, chance: random.Random) -> None:
    if chance.randrange(2):
        model.ir_version = chance.choice((0, 2, 3, 4, 10, 13, 99, -1))
    elif model.opset_import:
        chance.choice(model.opset_import).domain = chance.choice(("", "ai.onnx", "com.microsoft"))


def _change_node(model: ModelProto, chance: random.Random) -> None:
    if not model.graph.node:
        return
    node = chance.choice(model.graph.node)
    action = chance.randrange(5)
    if action == 0:
        node.op_type = chance.choice(("MatMul", "Gemm", "Identity", "Transpose", "Constant", ""))
    elif action == 1:
        node.attribute.append(helper.make_attribute(chance.choice(("perm", "transB", "to", "value",
                                                                   "body")), 1))
    elif action == 2:
        tensor = numpy_helper.from_array(np.ones((2, 2), np.float32))
        node.attribute.append(helper.make_attribute("value", tensor))
    elif action == 3:
        inner = ModelProto()
        inner.CopyFrom(model)
        node.attribute.append(helper.make_attribute("then_branch", inner.graph))
    else:
        model.graph.node.append(node)


def _change_names(model: ModelProto, chance: random.Random) -> None:
    for function in model.functions:
        function.node.append(helper.make_node(function.name, ["a"], ["b"], domain=function.domain))
    if model.graph.initializer:
        chance.choice(model.graph.initializer).name = chance.choice(("", "x", "y", "a", "é\n"))


def prepare(folder: Path) -> Path:
    """A folder with what external data may and may not lead to; the path of the model in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EXTERNAL).write_bytes(bytes(1 << 16))
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("/etc/passwd")
    return folder / "model.onnx"


def attempt(path: Path, data: bytes, form: Format, layout: str) -> bool:
    """Quantize ``data``, written to ``path``; whether it worked. A ``TrilobiteError`` is no crash.

    What was written must be a model that is opened again, and nothing may be left by a failure.
    """
    path.write_bytes(data)
    out = path.with_name("out.onnx")
    before = set(path.parent.iterdir())
    try:
        quantize_onnx(path, out, form, layout, overwrite=True)
    except TrilobiteError:
        assert set(path.parent.iterdir()) == before
        return False
    open_onnx(out)
    for file in set(path.parent.iterdir()) - before:
        file.unlink()
    return True


def mutant(seeds: list[ModelProto], chance: random.Random) -> bytes:
    """One damaged model."""
    model = ModelProto()
    model.CopyFrom(chance.choice(seeds))
    if chance.randrange(3):
        change_fields(model, chance)
    data = model.SerializeToString()
    return change_bytes(data, chance) if chance.randrange(3) == 0 else data
