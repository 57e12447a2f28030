"""A graph under construction: nodes in order, tensors in a sink, names that say where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from .sink import TensorSink

__all__ = ["MICROSOFT", "GraphBuilder"]

MICROSOFT = "com.microsoft"   # the domain of onnxruntime's own operators


class GraphBuilder:
    """Collects the nodes and initializers of a graph.

    A node's outputs are called after the node, so names are as unique as ``path`` and ``label``
    are; a name that would be given twice gets a number.
    """

    def __init__(self, sink: TensorSink) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self._sink = sink
        self._names: dict[str, int] = {}
        self._constants: dict[tuple, str] = {}

    @property
    def sink(self) -> TensorSink:
        """Where tensors go."""
        return self._sink

    def op(
        self, kind: str, inputs: Sequence[str], path: str, outputs: Sequence[str] | None = None,
        domain: str = "", **attributes: Any,
    ) -> str:
        """Append a node called ``path/kind``; the name of its first output."""
        name = self._unique(f"{path}/{kind}")
        outputs = outputs or [f"{name}/output_0"]
        node = helper.make_node(kind, list(inputs), list(outputs), name, domain=domain,
                                **attributes)
        self.nodes.append(node)
        return outputs[0]

    def constant(self, values: Any, dtype: type = np.int64) -> str:
        """A small tensor; equal ones are stored once."""
        array: np.ndarray = np.array(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = self.tensor(self._sink.array(name, array))
        return self._constants[key]

    def array(self, name: str, values: np.ndarray) -> str:
        """A tensor called ``name``."""
        return self.tensor(self._sink.array(name, values))

    def tensor(self, tensor: TensorProto) -> str:
        """A tensor that the sink has made."""
        self.tensors.append(tensor)
        return tensor.name

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if count == 0 else f"{name}_{count}"
