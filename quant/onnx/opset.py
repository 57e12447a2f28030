"""A model raised to a later opset by ``onnx.version_converter``, where that is known to be safe."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto

from ...errors import FormatError
from ...tools.programs import ask_program, python
from .package import OPSETS, ir_version
from .structure import STANDARD_DOMAINS, tensors_of

__all__ = ["raise_opset"]

_SECONDS = 300
_MEMORY_BYTES = 8 << 30
# The converter is C++ that trusts its input: it gets a process, a time and a memory of its own.
_CONVERT = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY_BYTES}, {_MEMORY_BYTES}))
import onnx, onnx.version_converter
model = onnx.ModelProto.FromString(sys.stdin.buffer.read())
converted = onnx.version_converter.convert_version(model, int(sys.argv[1]))
sys.stdout.buffer.write(converted.SerializeToString())
"""


def raise_opset(model: ModelProto, opset: int, where: str) -> ModelProto:
    """A copy of ``model`` in ``opset``; large tensors are passed through by their marks.

    Raises
    ------
    FormatError
        The converter would lose a part of the model, cannot convert an operator, or fails.
    """
    old = next(each.version for each in model.opset_import if each.domain in STANDARD_DOMAINS)
    refusal = f"{where} has opset {old}, and this format and layout need opset {opset}"
    advice = "--as matmulnbits needs no later opset"
    if lost := _lost(model):
        raise FormatError(f"{refusal}; onnx's converter drops {lost}: {advice}")
    try:
        run = ask_program(python("-c", _CONVERT, str(opset)), Path("/"),
                          model.SerializeToString(), _SECONDS)
    except TimeoutError:
        raise FormatError(f"{refusal}; onnx's converter took over {_SECONDS} s: {advice}") from None
    if run.code != 0:
        lines = run.errors.decode(errors="replace").strip().splitlines()
        why = lines[-1][:300] if lines else f"it ended with {run.code}"
        raise FormatError(f"{refusal}; onnx's converter cannot raise it ({why}): {advice}")
    converted = ModelProto()
    try:
        converted.ParseFromString(run.output)
    except DecodeError:
        raise FormatError(f"{refusal}; onnx's converter gave no model: {advice}") from None
    if changed := _changed(model, converted):
        raise FormatError(f"{refusal}; onnx's converter changed {changed}: {advice}")
    converted.ir_version = max(model.ir_version, ir_version(max(opset, OPSETS[0])))
    return converted


def _lost(model: ModelProto) -> str | None:
    """What the converter is known to drop."""
    if model.functions:
        return "local functions"
    if model.training_info:
        return "training graphs"
    if model.graph.sparse_initializer:
        return "sparse tensors"
    if model.graph.quantization_annotation:
        return "quantization annotations"
    return None


def _changed(before: ModelProto, after: ModelProto) -> str | None:
    """What must have stayed and did not."""
    for part in ("input", "output"):
        names = [[value.name for value in getattr(each.graph, part)] for each in (before, after)]
        if names[0] != names[1]:
            return f"the {part}s"
    stored = [
        {tensor.raw_data for tensor in tensors_of(each) if len(tensor.raw_data) > 8}
        for each in (before, after)
    ]
    if not stored[0] <= stored[1]:
        return "a tensor"
    foreign = [
        sorted(node.op_type for node in each.graph.node if node.domain not in STANDARD_DOMAINS)
        for each in (before, after)
    ]
    return "nodes of other domains" if foreign[0] != foreign[1] else None
