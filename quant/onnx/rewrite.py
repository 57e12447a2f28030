"""A graph with its weights exchanged: DequantizeLinear before them, or MatMulNBits instead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .dequantize import DequantizeLayout
from .graph import MICROSOFT
from .matmul_nbits import NBitsLayout
from .payload import type_name
from .scopes import Scope, Value
from .structure import subgraphs
from .weights import FoundWeight, Use, integer_attribute

__all__ = ["Rewriter"]


class Rewriter:
    """Collects changes to a model, and makes them all in ``finish``.

    Names of new tensors and nodes begin with the weight's name and are used nowhere else.
    """

    def __init__(self, model: ModelProto, scopes: list[Scope]) -> None:
        self._model = model
        self._scopes = scopes
        self._names = set(_all_names(model.graph))
        self._first: dict[int, list[NodeProto]] = defaultdict(list)
        self._tensors: dict[int, list[TensorProto]] = defaultdict(list)
        self._dropped_tensors: dict[int, set[str]] = defaultdict(set)
        self._dropped_nodes: dict[int, set[int]] = defaultdict(set)
        self._instead: dict[int, dict[int, list[NodeProto]]] = defaultdict(dict)
        self._retyped: dict[int, set[str]] = defaultdict(set)
        self._microsoft = False

    def name(self, wanted: str) -> str:
        """``wanted``, or that with a number, if it is taken."""
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name

    def dequantize(
        self, weight: FoundWeight, layout: DequantizeLayout, tensors: list[TensorProto]
    ) -> None:
        """Let DequantizeLinear of ``tensors`` give ``weight`` to the nodes that multiply with it.

        Where nobody else reads the weight, its name stays and its float tensor goes.
        """
        scope = weight.value.scope
        result = weight.name
        if weight.replaceable:
            self._drop(weight.value)
        else:
            result = self.name(f"{weight.name}_dequantized")
            for use in weight.uses:
                use.reader.node.input[use.reader.position] = result
        given = [tensor.name for tensor in tensors]
        cast = type_name(weight.tensor) != "FLOAT" and not self._cast_anyway(weight)
        plain = self.name(f"{weight.name}_float32") if cast else result
        nodes = [helper.make_node("DequantizeLinear", given, [plain],
                                  self.name(f"{weight.name}_DequantizeLinear"),
                                  **layout.attributes)]
        if cast:
            nodes.append(self._cast(plain, result, weight.tensor.data_type))
        self._first[id(scope)] += nodes
        self._tensors[id(scope)] += tensors

    def multiply(
        self, weight: FoundWeight, layout: NBitsLayout, tensors: list[TensorProto],
        accuracy_level: int,
    ) -> None:
        """Put MatMulNBits in the place of every node that multiplies with ``weight``."""
        self._microsoft = True
        if weight.replaceable:
            self._drop(weight.value)
            for link in {id(link): link for use in weight.uses for link in use.links}.values():
                self._dropped_nodes[id(link.scope)].add(link.computed)
        self._tensors[id(weight.value.scope)] += tensors
        attributes = {**layout.attributes, "accuracy_level": accuracy_level}
        given = [tensor.name for tensor in tensors]
        for use in weight.uses:
            kind = self._factor_type(weight, use)
            nodes = self._product(use, kind, given, attributes)
            self._instead[id(use.reader.scope)][use.reader.index] = nodes

    def finish(self) -> None:
        """Change the model."""
        for scope in self._scopes:   # inner graphs first: outer nodes hold them
            key = id(scope)
            dropped = self._dropped_tensors[key]
            if dropped:
                kept = [each for each in scope.graph.initializer if each.name not in dropped]
                inputs = [each for each in scope.graph.input if each.name not in dropped]
                _replace(scope.graph, "initializer", kept)
                _replace(scope.graph, "input", inputs)
            scope.graph.initializer.extend(self._tensors[key])
            nodes = list(self._first[key])
            for index, node in enumerate(scope.nodes):
                if index not in self._dropped_nodes[key]:
                    nodes += self._instead[key].get(index, [node])
            _replace(scope.graph, "node", nodes)
            if unknown := self._retyped[key] | self._gone(scope, dropped, nodes):
                known = [each for each in scope.graph.value_info if each.name not in unknown]
                _replace(scope.graph, "value_info", known)
        domains = {entry.domain for entry in self._model.opset_import}
        if self._microsoft and MICROSOFT not in domains:
            self._model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))

    def _cast_anyway(self, weight: FoundWeight) -> bool:
        """Whether every use is behind a cast to float32, before which no narrower type is needed.

        Values on the way then change their type, so what the graph says of it goes.
        """
        casts = (
            any(_casts_to_float(link) for link in use.links) for use in weight.uses
        )
        if not weight.replaceable or not all(casts):
            return False
        for value in (weight.value, *(link for use in weight.uses for link in use.links)):
            self._retyped[id(value.scope)].add(value.name)
        return True

    def _drop(self, value: Value) -> None:
        if value.node is None:
            self._dropped_tensors[id(value.scope)].add(value.name)
        else:
            self._dropped_nodes[id(value.scope)].add(value.node)

    def _gone(self, scope: Scope, dropped: set[str], nodes: list[NodeProto]) -> set[str]:
        """Names that nothing gives any more."""
        given = {name for node in nodes for name in node.output}
        links = {name for index in self._dropped_nodes[id(scope)]
                 for name in scope.nodes[index].output}
        return (dropped | links) - given

    def _factor_type(self, weight: FoundWeight, use: Use) -> int:
        """The type in which a use multiplies: that of the last cast, or the weight's own."""
        kind = weight.tensor.data_type
        for link in use.links:
            node = link.scope.nodes[link.computed]
            kind = integer_attribute(node, "to", kind) if node.op_type == "Cast" else kind
        return kind

    def _product(
        self, use: Use, kind: int, weight: list[str], attributes: dict[str, int]
    ) -> list[NodeProto]:
        """MatMulNBits and what a Gemm does around it, with the outputs of the old node."""
        node = use.reader.node
        gemm = node.op_type == "Gemm"
        steps = _Steps(self, node)
        x = node.input[0]
        if gemm and integer_attribute(node, "transA", 0):
            x = steps.add("Transpose", [x], perm=[1, 0])
        if kind != TensorProto.FLOAT:
            x = steps.add("Cast", [x], to=TensorProto.FLOAT)
        y = steps.add("MatMulNBits", [x, *weight], domain=MICROSOFT, **attributes)
        if kind != TensorProto.FLOAT:
            y = steps.add("Cast", [y], to=kind)
        if gemm:
            y = self._gemm(steps, node, kind, y)
        return steps.nodes(y)

    def _gemm(self, steps: _Steps, node: NodeProto, kind: int, y: str) -> str:
        """``alpha * y + beta * C``."""
        factors = {each.name: each.f for each in node.attribute if each.name in ("alpha", "beta")}
        alpha, beta = factors.get("alpha", 1.0), factors.get("beta", 1.0)
        if alpha != 1:
            y = steps.add("Mul", [y, steps.scalar(alpha, kind)])
        if len(node.input) == 3 and node.input[2]:
            bias = node.input[2]
            if beta != 1:
                bias = steps.add("Mul", [bias, steps.scalar(beta, kind)])
            y = steps.add("Add", [y, bias])
        return y

    def _cast(self, source: str, target: str, kind: int) -> NodeProto:
        return helper.make_node("Cast", [source], [target], self.name(f"{target}_Cast"), to=kind)


class _Steps:
    """Nodes that together take the place of one."""

    def __init__(self, names: Rewriter, node: NodeProto) -> None:
        self._names = names
        self._node = node
        self._steps: list[NodeProto] = []

    def add(self, kind: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """Append a node; the name of its output."""
        base = f"{self._node.name or self._node.output[0]}_{kind}"
        name = self._names.name(base)
        output = self._names.name(f"{base}_output")
        self._steps.append(
            helper.make_node(kind, inputs, [output], name, domain=domain, **attributes)
        )
        return output

    def scalar(self, value: float, kind: int) -> str:
        """A constant of one number."""
        array = np.array(value, np.float32)
        tensor = numpy_helper.from_array(array)
        if kind != TensorProto.FLOAT:
            tensor = helper.make_tensor("", kind, [], [value])
        name = self._names.name(f"{self._node.name or self._node.output[0]}_factor")
        self._steps.append(helper.make_node("Constant", [], [name], name, value=tensor))
        return name

    def nodes(self, last: str) -> list[NodeProto]:
        """The nodes, ``last`` under the name that the old node's output had."""
        for step in self._steps:
            if step.output[0] == last:
                step.output[0] = self._node.output[0]
        return self._steps


def _casts_to_float(value: Value) -> bool:
    node = value.scope.nodes[value.computed]
    return node.op_type == "Cast" and integer_attribute(node, "to", 0) == TensorProto.FLOAT


def _replace(graph: GraphProto, field: str, entries: list) -> None:
    """Give a repeated field new entries, some of them its own."""
    copied = GraphProto()
    getattr(copied, field).extend(entries)
    graph.ClearField(field)
    getattr(graph, field).extend(getattr(copied, field))


def _all_names(graph: GraphProto) -> Iterable[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        yield node.name
        yield from node.output
        for inner in subgraphs(node):
            yield from _all_names(inner)
