"""A checkpoint's matrices in ONNX: floats, DequantizeLinear's codes, MatMulNBits' blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from onnx import TensorProto
from typing_extensions import override

from ...errors import FormatError
from ..checkpoint import Checkpoint
from ..formats import Codes
from ..onnx.dequantize import DequantizeLayout
from ..onnx.graph import MICROSOFT, GraphBuilder
from ..onnx.matmul_nbits import NBitsLayout
from ..onnx.store import PARTS, dequantize_tensors, nbits_tensors
from ..onnx.types import wider_than_needed
from ..output.safetensors_writer import TensorEntry
from ..rounding.weight_blocks import row_blocks
from .base import ExportedTensor

__all__ = ["BlockMatrix", "CodeMatrix", "FloatMatrix", "OnnxMatrix"]

_FLOATS = {"F32": "FLOAT", "F16": "FLOAT16", "BF16": "BFLOAT16"}


class OnnxMatrix(ABC):
    """One matrix [M, K] of ``checkpoint``, written when it is first used."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.name = name
        self.info = checkpoint.tensors[name]
        self.shape = self.info.matrix
        self._checkpoint = checkpoint

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Stored bytes."""

    @abstractmethod
    def exported(self) -> ExportedTensor:
        """What it becomes."""

    @abstractmethod
    def write(self, graph: GraphBuilder) -> None:
        """Add its tensors to the graph, block by block."""

    @abstractmethod
    def multiply(self, graph: GraphBuilder, x: str, path: str) -> str:
        """``x W^T`` of ``x`` [batch, tokens, K]."""

    @abstractmethod
    def look_up(self, graph: GraphBuilder, ids: str, path: str) -> str:
        """Float32 rows of int64 ``ids`` [batch, tokens]."""

    def _ranges(self) -> list[tuple[int, int]]:
        return row_blocks(self.shape)

    def _encoded(self) -> Iterator[Codes]:
        """The matrix's codes in blocks of rows."""
        return (self._checkpoint.encoded(self.name, *rows) for rows in self._ranges())

    def _parts(self) -> list[str]:
        """Names of the tensors that hold codes, scales and zero points."""
        return [f"{self.name}.{part}" for part in PARTS]

    def _add(self, graph: GraphBuilder, tensors: list[TensorProto]) -> list[str]:
        return [graph.tensor(tensor) for tensor in tensors]

    def _record(self, type: str, note: str | None = None) -> ExportedTensor:
        return ExportedTensor(
            self.name, self.name, self.shape, type, self.nbytes, exact=True, note=note
        )


class FloatMatrix(OnnxMatrix):
    """Floats in the type that the checkpoint stores, cast to float32 by the graph.

    They lie as rows, so that an embedding can be looked up in them; onnxruntime transposes once,
    when it loads the model.
    """

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        super().__init__(checkpoint, name)
        self._stored = TensorEntry(self.info.float_type, self.shape)

    @property
    @override
    def nbytes(self) -> int:
        return self._stored.nbytes

    @override
    def exported(self) -> ExportedTensor:
        return self._record(_FLOATS[self.info.float_type])

    @override
    def write(self, graph: GraphBuilder) -> None:
        blocks = (
            self._stored.from_float32(self._checkpoint.rows(self.name, start, stop))
            for start, stop in self._ranges()
        )
        kind = _FLOATS[self.info.float_type]
        graph.tensor(graph.sink.stored(self.name, kind, self.shape, blocks, self.nbytes))

    @override
    def multiply(self, graph: GraphBuilder, x: str, path: str) -> str:
        columns = graph.op("Transpose", [self._cast(graph, self.name, path)], path, perm=[1, 0])
        return graph.op("MatMul", [x, columns], path)

    @override
    def look_up(self, graph: GraphBuilder, ids: str, path: str) -> str:
        return self._cast(graph, graph.op("Gather", [self.name, ids], path, axis=0), path)

    def _cast(self, graph: GraphBuilder, value: str, path: str) -> str:
        if self.info.float_type == "F32":
            return value
        return graph.op("Cast", [value], path, to=TensorProto.FLOAT)


class CodeMatrix(OnnxMatrix):
    """Codes for DequantizeLinear of ``opset``.

    As columns [K, M], which onnxruntime multiplies with as they are; as rows [M, K] if ``by_row``,
    for an embedding.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, opset: int, by_row: bool) -> None:
        super().__init__(checkpoint, name)
        shape, axis = (self.shape, 1) if by_row else (self.shape[::-1], 0)
        self._layout = DequantizeLayout(checkpoint.coded_format(name), shape, axis, opset)
        self._by_row = by_row
        self._inputs: list[str] = []

    @property
    @override
    def nbytes(self) -> int:
        return self._layout.nbytes

    @override
    def exported(self) -> ExportedTensor:
        note = wider_than_needed(self._layout.form, self._layout.type)
        return self._record(self._layout.type.name, note)

    def write(self, graph: GraphBuilder) -> None:
        """Write it as ``OnnxMatrix`` says; a code takes a byte of memory, two while transposed."""
        self._inputs = self._add(graph, dequantize_tensors(
            self._layout, self._encoded(), self._parts(), graph.sink
        ))

    @override
    def multiply(self, graph: GraphBuilder, x: str, path: str) -> str:
        weight = self._dequantized(graph, path)
        if self._by_row:
            weight = graph.op("Transpose", [weight], path, perm=[1, 0])
        return graph.op("MatMul", [x, weight], path)

    def look_up(self, graph: GraphBuilder, ids: str, path: str) -> str:
        """Read it as ``OnnxMatrix`` says; where rows have scales, only the wanted rows are read."""
        if self._layout.form.name != "int8":
            return graph.op("Gather", [self._dequantized(graph, path), ids], path, axis=0)
        codes, scale = (graph.op("Gather", [part, ids], path, axis=0) for part in self._inputs)
        codes = graph.op("Cast", [codes], path, to=TensorProto.FLOAT)
        scale = graph.op("Unsqueeze", [scale, graph.constant([-1])], path)
        return graph.op("Mul", [codes, scale], path)

    def _dequantized(self, graph: GraphBuilder, path: str) -> str:
        return graph.op("DequantizeLinear", self._inputs, path, **self._layout.attributes)


class BlockMatrix(OnnxMatrix):
    """Blocks for MatMulNBits at ``accuracy_level``: 0 multiplies floats, 4 int8 activations."""

    def __init__(self, checkpoint: Checkpoint, name: str, accuracy_level: int) -> None:
        super().__init__(checkpoint, name)
        try:
            self._layout = NBitsLayout(checkpoint.coded_format(name), self.shape)
        except FormatError as error:
            raise FormatError(f"{checkpoint.folder}: {name}: {error}") from None
        self._accuracy_level = accuracy_level
        self._inputs: list[str] = []

    @property
    @override
    def nbytes(self) -> int:
        return self._layout.nbytes

    @override
    def exported(self) -> ExportedTensor:
        layout = self._layout
        note = None
        if layout.form.name in ("int3", "mxfp4", "nvfp4"):
            note = f"stored in {layout.bits} bits: MatMulNBits has no such numbers of its own"
        return self._record(f"{layout.bits}-bit blocks of {layout.block_size}", note)

    @override
    def write(self, graph: GraphBuilder) -> None:
        self._inputs = self._add(graph, nbits_tensors(
            self._layout, self._encoded(), self._parts(), graph.sink
        ))

    @override
    def multiply(self, graph: GraphBuilder, x: str, path: str) -> str:
        return graph.op(
            "MatMulNBits", [x, *self._inputs], path, None, MICROSOFT,
            accuracy_level=self._accuracy_level, **self._layout.attributes,
        )

    def look_up(self, graph: GraphBuilder, ids: str, path: str) -> str:
        """Write it as ``OnnxMatrix`` says; the same tensors serve a tied head."""
        layout = self._layout
        width = layout.blocks * layout.block_size
        parts = [graph.op("Gather", [part, ids], path, axis=0) for part in self._inputs]
        codes = graph.op("Cast", [parts[0]], path, to=TensorProto.FLOAT)
        middle = graph.constant(2 ** (layout.bits - 1), np.float32)
        codes = graph.op("Sub", [codes, middle], path)
        scale = graph.op("Unsqueeze", [parts[1], graph.constant([-1])], path)
        rows = graph.op("Mul", [codes, scale], path)
        rows = graph.op("Reshape", [rows, graph.constant([0, 0, width])], path)
        if width == self.shape[1]:
            return rows
        bounds = [graph.constant([0]), graph.constant([self.shape[1]]), graph.constant([-1])]
        return graph.op("Slice", [rows, *bounds], path)
