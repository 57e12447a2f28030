"""A checkpoint's matrices in ONNX: floats, DequantizeLinear's codes, MatMulNBits' blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from ...errors import FormatError
from ..checkpoint import Checkpoint
from ..formats import Codes
from ..onnx.dequantize import DequantizeLayout
from ..onnx.graph import MICROSOFT, GraphBuilder
from ..onnx.matmul_nbits import NBitsLayout
from ..weight_blocks import row_blocks
from ..writer import StoredTensor
from .base import ExportedTensor

__all__ = ["BlockMatrix", "CodeMatrix", "FloatMatrix", "Matrix"]

_FLOATS = {"F32": "FLOAT", "F16": "FLOAT16", "BF16": "BFLOAT16"}


class Matrix(ABC):
    """One matrix [M, K] of ``checkpoint``, written when it is first used."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.name = name
        self.info = checkpoint.tensors[name]
        self.shape: tuple[int, int] = self.info.shape
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

    def _record(self, type: str, note: str | None = None) -> ExportedTensor:
        return ExportedTensor(
            self.name, self.name, self.shape, type, self.nbytes, exact=True, note=note
        )


class FloatMatrix(Matrix):
    """Floats in the type that the checkpoint stores, cast to float32 by the graph.

    They lie as rows, so that an embedding can be looked up in them; onnxruntime transposes once,
    when it loads the model.
    """

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        super().__init__(checkpoint, name)
        self._stored = StoredTensor(self.info.dtype, self.shape)

    @property
    def nbytes(self) -> int:
        """See ``Matrix``."""
        return self._stored.nbytes

    def exported(self) -> ExportedTensor:
        """See ``Matrix``."""
        return self._record(_FLOATS[self.info.dtype])

    def write(self, graph: GraphBuilder) -> None:
        """See ``Matrix``."""
        blocks = (
            self._stored.from_float32(self._checkpoint.rows(self.name, start, stop))
            for start, stop in self._ranges()
        )
        kind = _FLOATS[self.info.dtype]
        graph.tensor(graph.sink.stored(self.name, kind, self.shape, blocks, self.nbytes))

    def multiply(self, graph: GraphBuilder, x: str, path: str) -> str:
        """See ``Matrix``."""
        columns = graph.op("Transpose", [self._cast(graph, self.name, path)], path, perm=[1, 0])
        return graph.op("MatMul", [x, columns], path)

    def look_up(self, graph: GraphBuilder, ids: str, path: str) -> str:
        """See ``Matrix``."""
        return self._cast(graph, graph.op("Gather", [self.name, ids], path, axis=0), path)

    def _cast(self, graph: GraphBuilder, value: str, path: str) -> str:
        if self.info.dtype == "F32":
            return value
        return graph.op("Cast", [value], path, to=TensorProto.FLOAT)


class CodeMatrix(Matrix):
    """Codes for DequantizeLinear of ``opset``.

    As columns [K, M], which onnxruntime multiplies with as they are; as rows [M, K] if ``by_row``,
    for an embedding.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, opset: int, by_row: bool) -> None:
        super().__init__(checkpoint, name)
        shape, axis = (self.shape, 1) if by_row else (self.shape[::-1], 0)
        self._layout = DequantizeLayout(checkpoint.format(name), shape, axis, opset)
        self._by_row = by_row
        self._inputs: list[str] = []

    @property
    def nbytes(self) -> int:
        """See ``Matrix``."""
        return self._layout.nbytes

    def exported(self) -> ExportedTensor:
        """See ``Matrix``."""
        narrowest = DequantizeLayout(self._layout.form, *self._by(), None).type
        note = None
        if narrowest != self._layout.type:
            note = f"stored as {self._layout.type.name}: {narrowest.name} needs opset 25"
        elif self._layout.form.name == "int3":
            note = f"stored as {self._layout.type.name}: ONNX has no 3-bit type"
        return self._record(self._layout.type.name, note)

    def write(self, graph: GraphBuilder) -> None:
        """See ``Matrix``; holds one byte per code, and again as much to transpose them."""
        layout, name = self._layout, self.name
        codes = self._codes()
        packed = layout.codes(codes.values)
        kind = layout.type.name
        self._inputs = [
            graph.tensor(graph.sink.stored(f"{name}.codes", kind, layout.shape, [packed])),
            graph.array(f"{name}.scale", layout.scale(codes)),
        ]
        if (zero_point := layout.zero_point(codes)) is not None:
            tensor = graph.sink.stored(
                f"{name}.zero_point", kind, layout.scale_shape, [zero_point]
            )
            self._inputs.append(graph.tensor(tensor))

    def multiply(self, graph: GraphBuilder, x: str, path: str) -> str:
        """See ``Matrix``."""
        weight = self._dequantized(graph, path)
        if self._by_row:
            weight = graph.op("Transpose", [weight], path, perm=[1, 0])
        return graph.op("MatMul", [x, weight], path)

    def look_up(self, graph: GraphBuilder, ids: str, path: str) -> str:
        """See ``Matrix``; of codes with a scale per row only the rows that are asked for."""
        if self._layout.form.name != "int8":
            return graph.op("Gather", [self._dequantized(graph, path), ids], path, axis=0)
        codes, scale = (graph.op("Gather", [part, ids], path, axis=0) for part in self._inputs)
        codes = graph.op("Cast", [codes], path, to=TensorProto.FLOAT)
        scale = graph.op("Unsqueeze", [scale, graph.constant([-1])], path)
        return graph.op("Mul", [codes, scale], path)

    def _dequantized(self, graph: GraphBuilder, path: str) -> str:
        return graph.op("DequantizeLinear", self._inputs, path, **self._layout.attributes)

    def _codes(self) -> Codes:
        """All codes, one byte each."""
        values = np.empty(self.shape, np.int8)
        scales, zero_points = [], []
        for start, stop in self._ranges():
            codes = self._checkpoint.encoded(self.name, start, stop)
            values[start:stop] = codes.values.view(np.int8)
            scales.append(codes.scale)
            zero_points.append(codes.zero_point)
        per_tensor = self._layout.scale_shape == ()
        scale = scales[0] if per_tensor else np.concatenate(scales)
        zero_point = None if zero_points[0] is None else np.concatenate(zero_points)
        return Codes(values, scale, zero_point)

    def _by(self) -> tuple[tuple[int, ...], int]:
        return self._layout.shape, self._layout.axis


class BlockMatrix(Matrix):
    """Blocks for MatMulNBits at ``accuracy_level``: 0 multiplies floats, 4 int8 activations."""

    def __init__(self, checkpoint: Checkpoint, name: str, accuracy_level: int) -> None:
        super().__init__(checkpoint, name)
        try:
            self._layout = NBitsLayout(checkpoint.format(name), self.shape)
        except FormatError as error:
            raise FormatError(f"{checkpoint.folder}: {name}: {error}") from None
        self._accuracy_level = accuracy_level
        self._inputs: list[str] = []

    @property
    def nbytes(self) -> int:
        """See ``Matrix``."""
        return self._layout.nbytes

    def exported(self) -> ExportedTensor:
        """See ``Matrix``."""
        layout = self._layout
        note = "3-bit codes in 4 bits: MatMulNBits has no 3" if layout.form.name == "int3" else None
        return self._record(f"{layout.bits}-bit blocks of {layout.block_size}", note)

    def write(self, graph: GraphBuilder) -> None:
        """See ``Matrix``."""
        layout, name, sink = self._layout, self.name, graph.sink
        scales: list[np.ndarray] = []
        zero_points: list[np.ndarray] = []

        def packed() -> Iterator[np.ndarray]:
            for start, stop in self._ranges():
                rows = layout.rows(self._checkpoint.encoded(name, start, stop))
                scales.append(rows.scale)
                if rows.zero_point is not None:
                    zero_points.append(rows.zero_point)
                yield rows.packed

        shape = layout.packed_shape
        nbytes = shape[0] * shape[1] * shape[2]
        self._inputs = [
            graph.tensor(sink.stored(f"{name}.codes", "UINT8", shape, packed(), nbytes)),
            graph.array(f"{name}.scale", np.concatenate(scales)),
        ]
        if zero_points:
            self._inputs.append(graph.array(f"{name}.zero_point", np.concatenate(zero_points)))

    def multiply(self, graph: GraphBuilder, x: str, path: str) -> str:
        """See ``Matrix``."""
        return graph.op(
            "MatMulNBits", [x, *self._inputs], path, domain=MICROSOFT,
            accuracy_level=self._accuracy_level, **self._layout.attributes,
        )

    def look_up(self, graph: GraphBuilder, ids: str, path: str) -> str:
        """See ``Matrix``; the same tensors serve a tied head."""
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
