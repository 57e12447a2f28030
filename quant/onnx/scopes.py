"""Who gives and who reads each name of a model, its subgraphs included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from onnx import GraphProto, NodeProto, TensorProto

from .structure import constant_tensor, subgraphs

__all__ = ["Reader", "Scope", "Value", "read_scopes"]


@dataclass
class Value:
    """A name in the graph that gives it.

    ``tensor`` is its constant value, if it has one: an initializer, or that of the Constant node
    ``node``. ``node`` is the index of the node that computes it, None for initializers and inputs.
    """

    name: str
    scope: Scope
    tensor: TensorProto | None = None
    node: int | None = None
    is_input: bool = False
    is_output: bool = False
    readers: list[Reader] = field(default_factory=list)

    @property
    def computed(self) -> int:
        """``node``; raise ``ValueError`` if no node computes it."""
        if self.node is None:
            raise ValueError(f"no node computes {self.name}")
        return self.node


@dataclass(frozen=True)
class Reader:
    """The input ``position`` of node ``index`` in ``scope``."""

    scope: Scope
    index: int
    position: int

    @property
    def node(self) -> NodeProto:
        """The node."""
        return self.scope.nodes[self.index]


class Scope:
    """One graph: its nodes, and the values that it gives."""

    def __init__(self, graph: GraphProto, parent: Scope | None) -> None:
        self.graph = graph
        self.nodes = list(graph.node)
        self._parent = parent
        self.values: dict[str, Value] = {}

    def find(self, name: str) -> Value | None:
        """The value that ``name`` means here: this graph's, or that of one around it."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope._parent
        return None


def read_scopes(graph: GraphProto) -> list[Scope]:
    """All graphs of a checked model; inner ones before those around them."""
    return list(_read(graph, None))


def _read(graph: GraphProto, parent: Scope | None) -> Iterator[Scope]:
    scope = Scope(graph, parent)
    values = scope.values
    for given in graph.input:
        values[given.name] = Value(given.name, scope, is_input=True)
    for tensor in graph.initializer:
        values.setdefault(tensor.name, Value(tensor.name, scope)).tensor = tensor
    for sparse in graph.sparse_initializer:
        values.setdefault(sparse.values.name, Value(sparse.values.name, scope))
    for index, node in enumerate(scope.nodes):
        for position, name in enumerate(node.input):
            value = scope.find(name) if name else None
            if value is not None:
                value.readers.append(Reader(scope, index, position))
        for inner in subgraphs(node):
            yield from _read(inner, scope)
        constant = constant_tensor(node)
        for name in node.output:
            if name:
                values[name] = Value(name, scope, constant, index)
    for output in graph.output:
        if (value := scope.find(output.name)) is not None:
            value.is_output = True
    yield scope
