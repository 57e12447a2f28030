"""The constant weights of MatMul and Gemm, and why some of them stay as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from onnx import NodeProto, TensorProto

from ...errors import FormatError
from ..formats import Format
from .payload import FLOAT_TYPES, type_name
from .scopes import Reader, Scope, Value
from .structure import is_standard

__all__ = ["FoundWeight", "Use", "find_weights", "misfit", "reason_to_keep"]

_CAST_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_MATRIX = 2


@dataclass(frozen=True)
class Use:
    """A MatMul or Gemm that multiplies with a weight.

    ``axis`` is the axis of the stored tensor that is summed over; ``links`` are the Identity,
    Transpose and Cast nodes between the two.
    """

    reader: Reader
    axis: int
    links: tuple[Value, ...] = ()


@dataclass
class FoundWeight:
    """A constant float tensor and who reads it; ``others`` are readers that do not multiply."""

    value: Value
    uses: list[Use] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def tensor(self) -> TensorProto:
        """The constant."""
        assert self.value.tensor is not None, "``find_weights`` takes constants alone"
        return self.value.tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.tensor.dims)

    @property
    def axis(self) -> int:
        """The axis that every use sums over."""
        return self.uses[0].axis

    @property
    def matrix(self) -> tuple[int, int]:
        """[M, K], with K along ``axis``."""
        others = (size for axis, size in enumerate(self.shape) if axis != self.axis)
        return math.prod(others), self.shape[self.axis]

    @property
    def name(self) -> str:
        """How the graph calls it."""
        return self.value.name

    @property
    def replaceable(self) -> bool:
        """Whether only MatMul and Gemm read it, so that no float copy must stay."""
        return not self.others


def find_weights(scopes: list[Scope]) -> list[FoundWeight]:
    """Every constant float tensor with two axes or more, in the order of the graphs."""
    constants = [
        value for scope in scopes for value in scope.values.values()
        if value.tensor is not None and len(value.tensor.dims) >= _MATRIX
        and type_name(value.tensor) in (*FLOAT_TYPES, "DOUBLE")
    ]
    return [_trace(value) for value in constants]


def _trace(value: Value) -> FoundWeight:
    """Follow a constant to the nodes that compute with it."""
    found = FoundWeight(value)
    rank = len(found.tensor.dims)
    waiting: list[tuple[Value, bool, tuple[Value, ...]]] = [(value, False, ())]
    while waiting:
        current, flipped, links = waiting.pop()
        if current.is_output:
            found.others.append("the graph's output")
        elif links and not current.readers:
            found.others.append("a node whose result nobody reads")
        for reader in current.readers:
            axis = _summed_axis(reader, rank)
            after = _link(reader, rank)
            if axis is not None:
                found.uses.append(Use(reader, 1 - axis if flipped else axis, links))
            elif after is not None:
                turned = flipped != (reader.node.op_type == "Transpose")
                waiting.append((after, turned, (*links, after)))
            else:
                found.others.append(reader.node.op_type)
    return found


def _summed_axis(reader: Reader, rank: int) -> int | None:
    """The axis that a MatMul or Gemm sums over; None if the node does not multiply with it."""
    node, position = reader.node, reader.position
    if not is_standard(node) or node.op_type not in ("MatMul", "Gemm") or position > 1:
        return None
    if not _well_formed(node, rank):
        return None
    other = reader.scope.find(node.input[1 - position])
    if other is not None and other.tensor is not None:
        return None   # a product of constants: whoever folds it should see its floats
    last, before = rank - 1, rank - 2
    if node.op_type == "MatMul":
        return before if position else last
    transposed = integer_attribute(node, "transB" if position else "transA", 0)
    return last if bool(position) == bool(transposed) else before


def _well_formed(node: NodeProto, rank: int) -> bool:
    """Whether a MatMul or Gemm has the inputs and the output that it must have."""
    counts = (2,) if node.op_type == "MatMul" else (2, 3)
    matrix = node.op_type == "MatMul" or rank == _MATRIX
    return (matrix and len(node.input) in counts and all(node.input[:2])
            and len(node.output) == 1 and bool(node.output[0]))


def _link(reader: Reader, rank: int) -> Value | None:
    """What a node that passes the weight on, as it is or transposed, gives; None for any other."""
    node = reader.node
    if not is_standard(node) or len(node.output) != 1 or not node.output[0]:
        return None
    passes = node.op_type == "Identity"
    if node.op_type == "Cast":
        passes = integer_attribute(node, "to", 0) in _CAST_TYPES
    if node.op_type == "Transpose" and rank == _MATRIX:
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [1, 0])
        passes = order == [1, 0]
    return reader.scope.values[node.output[0]] if passes else None


def integer_attribute(node: NodeProto, name: str, default: int) -> int:
    """An integer attribute."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def reason_to_keep(weight: FoundWeight, nbits: bool, old_ir: bool) -> str | None:
    """Why the graph has to keep a weight that MatMul or Gemm reads; None if it need not."""
    value, kind = weight.value, type_name(weight.tensor)
    if kind not in FLOAT_TYPES:
        return f"its type is {kind}; float32, float16 and bfloat16 are quantized"
    if value.is_input and not old_ir:
        return "it is also an input of the graph, which a caller may replace"
    axes = {use.axis for use in weight.uses}
    if len(axes) > 1:
        return f"it is summed over different axes ({sorted(axes)}) by the nodes that read it"
    if weight.others and any(use.links for use in weight.uses):
        return f"{weight.others[0]} reads it too"
    if nbits and len(weight.shape) != _MATRIX:
        return f"it has {len(weight.shape)} axes; MatMulNBits multiplies with matrices"
    if nbits and any(use.reader.position == 0 for use in weight.uses):
        return "it is the left factor; MatMulNBits wants the weight on the right"
    return None


def misfit(weight: FoundWeight, form: Format) -> str | None:
    """Why ``form`` cannot hold a weight that MatMul or Gemm reads; None if it can."""
    try:
        form.check("", weight.matrix)
    except FormatError as error:
        return str(error).removeprefix(": ")
    return None
