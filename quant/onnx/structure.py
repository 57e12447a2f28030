"""Is this a graph at all: every name defined once, before it is used; functions without circles."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from ...errors import CheckpointError
from ..checkpoint.files.fields import printable

__all__ = [
    "STANDARD_DOMAINS", "attributes_of", "check_structure", "constant_tensor", "initializers_of",
    "is_standard", "subgraphs", "tensors_of",
]

STANDARD_DOMAINS = ("", "ai.onnx")
_OLDEST_IR = 3


def is_standard(node: NodeProto) -> bool:
    """Whether a node is one of ONNX's own operators."""
    return node.domain in STANDARD_DOMAINS


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in a node's attributes: branches of If, bodies of Loop and Scan."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH or attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def constant_tensor(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node that has one."""
    if node.op_type != "Constant" or not is_standard(node):
        return None
    for attribute in node.attribute:
        if attribute.name == "value" and attribute.HasField("t"):
            return attribute.t
    return None


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model: initializers, attributes, those of subgraphs and functions too."""
    for tensor, _ in _tensors(model):
        yield tensor


def initializers_of(model: ModelProto) -> list[TensorProto]:
    """The initializers of all graphs, those of subgraphs too."""
    return [tensor for tensor, stored in _tensors(model) if stored]


def attributes_of(model: ModelProto) -> list[TensorProto]:
    """All tensors but the initializers: those in attributes, and the parts of sparse ones."""
    return [tensor for tensor, stored in _tensors(model) if not stored]


def _tensors(model: ModelProto) -> Iterator[tuple[TensorProto, bool]]:
    """Every tensor, and whether it is an initializer."""
    yield from _graph_tensors(model.graph)
    for training in model.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)
    for function in model.functions:
        for attribute in function.attribute_proto:
            yield from _attribute_tensors(attribute)
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: GraphProto) -> Iterator[tuple[TensorProto, bool]]:
    yield from ((tensor, True) for tensor in graph.initializer)
    for sparse in graph.sparse_initializer:
        yield from ((sparse.values, False), (sparse.indices, False))
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: NodeProto) -> Iterator[tuple[TensorProto, bool]]:
    for attribute in node.attribute:
        yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[tuple[TensorProto, bool]]:
    if attribute.HasField("t"):
        yield attribute.t, False
    yield from ((tensor, False) for tensor in attribute.tensors)
    sparse = [*attribute.sparse_tensors]
    if attribute.HasField("sparse_tensor"):
        sparse.append(attribute.sparse_tensor)
    for each in sparse:
        yield from ((each.values, False), (each.indices, False))
    graphs = [*attribute.graphs]
    if attribute.HasField("g"):
        graphs.append(attribute.g)
    for graph in graphs:
        yield from _graph_tensors(graph)


def check_structure(model: ModelProto, where: str, newest_ir: int) -> None:
    """Raise ``CheckpointError``, beginning with ``where``, unless the model can be understood.

    Looks at versions, names and their order, not at what operators do.
    """
    if not _OLDEST_IR <= model.ir_version <= newest_ir:
        raise CheckpointError(
            f"{where} has the file version (ir_version) {model.ir_version}; {_OLDEST_IR} to "
            f"{newest_ir} can be read"
        )
    if not model.HasField("graph") or not model.graph.node:
        raise CheckpointError(f"{where} has no graph with nodes; it is no ONNX model")
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    if len(versions) != 1 or versions[0] < 1:
        raise CheckpointError(
            f"{where} imports the versions {versions} of ONNX's operators; it must import one"
        )
    _check_graph(model.graph, (), where)
    _check_functions(model, where)


def _check_graph(graph: GraphProto, outer: tuple[set[str], ...], where: str) -> None:
    inputs = [value.name for value in graph.input]
    stored = [tensor.name for tensor in graph.initializer]
    stored += [sparse.values.name for sparse in graph.sparse_initializer]
    for names, kind in ((inputs, "input"), (stored, "initializer")):
        if len(set(names)) != len(names) or "" in names:
            raise CheckpointError(f"{where}: a graph has an {kind} without a name of its own")
    inner = set(inputs) | set(stored)
    produced = {name for node in graph.node for name in node.output if name}
    scopes = (inner, *outer)
    for node in graph.node:
        _check_node(node, scopes, produced, where)
        for name in node.output:
            if name and name in inner:
                raise CheckpointError(f"{where}: {printable(name)} is computed or given twice")
            inner.add(name)
        inner.discard("")
    for value in graph.output:
        if not _known(value.name, scopes):
            raise CheckpointError(
                f"{where}: the output {printable(value.name)} is computed by no node"
            )


def _check_node(
    node: NodeProto, scopes: tuple[set[str], ...], produced: set[str], where: str
) -> None:
    for name in node.input:
        if name and not _known(name, scopes):
            why = (
                "which only a later node computes: the graph has a cycle, or is out of order"
                if name in produced else "which nothing gives"
            )
            raise CheckpointError(
                f"{where}: the {printable(node.op_type)} node {printable(node.name)!r} reads "
                f"{printable(name)}, {why}"
            )
    for graph in subgraphs(node):
        _check_graph(graph, scopes, where)


def _known(name: str, scopes: tuple[set[str], ...]) -> bool:
    return any(name in scope for scope in scopes)


def _check_functions(model: ModelProto, where: str) -> None:
    """No function calls itself, directly or through others."""
    def key(entry: NodeProto, kind: str) -> tuple[str, str, str]:
        return entry.domain, kind, entry.overload

    functions = {key(function, function.name): function for function in model.functions}
    calls = {
        name: {key(node, node.op_type) for node in _all_nodes(function.node)} & functions.keys()
        for name, function in functions.items()
    }
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        circle = " calls ".join(printable(name) for _, name, _ in error.args[1])
        raise CheckpointError(f"{where}: the functions {circle}: they never end") from None


def _all_nodes(nodes: list[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _all_nodes(graph.node)
