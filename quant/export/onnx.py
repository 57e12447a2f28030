"""A folder with an ONNX decoder, for onnxruntime and onnxruntime-genai."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from ... import __version__
from ...errors import CheckpointError, FormatError
from ...tools.json_text import json_text
from ...tools.progress import Progress
from ..checkpoint import Checkpoint
from ..onnx import require_onnx
from ..onnx.package import ir_version
from ..output.atomic import write_synced
from .base import Export, ExportedTensor, Exporter
from .onnx_genai import genai_config

if TYPE_CHECKING:
    from .onnx_matrices import OnnxMatrix

__all__ = ["EXPORTER", "Onnx"]

MODEL, DATA = "model.onnx", "model.onnx.data"
_STANDARD_OPSET = 23     # the first with Attention, RMSNormalization and RotaryEmbedding
_TWO_BIT_OPSET = 25      # the first with INT2
_GRAPH_BYTES = 1 << 20   # model.onnx per layer, rounded up
# Of what a model may have beyond a Llama, what the graph has not: tables that depend on how long a
# sequence is.
_UNKNOWN = ("rope_longrope", "rope_dynamic")
_ACCURACY = {"matmulnbits": 4, "matmulnbits-float": 0}


@dataclass(frozen=True)
class Onnx(Exporter):
    """model.onnx with its data beside it, genai_config.json, and the tokenizer's files.

    ``opset`` None takes 23, or 25 where DequantizeLinear reads two-bit codes.
    """

    name = "onnx"
    types: ClassVar[dict[str, str]] = {
        "qdq": "ONNX's own operators: DequantizeLinear and MatMul",
        "matmulnbits": "onnxruntime's MatMulNBits, which rounds activations to int8",
        "matmulnbits-float": "MatMulNBits with float activations: exact, and slow",
    }
    writes = "folder"

    opset: int | None = None

    def with_opset(self, opset: int) -> Self:
        """The same for another opset; raises ``FormatError`` if that is not written."""
        ir_version(opset)
        return replace(self, opset=opset)

    def plan(self, checkpoint: Checkpoint, type: str) -> Export:
        """Plan the export as ``Exporter.plan`` says; ``ToolError`` if ``onnx`` is missing."""
        require_onnx()
        default = _default_opset(checkpoint, type)
        return _Folder(checkpoint, type, self.opset or default)


def _default_opset(checkpoint: Checkpoint, type: str) -> int:
    from ..onnx.types import element_type  # noqa: PLC0415

    two_bits = False
    for name in checkpoint.tensors:
        form = checkpoint.format(name)
        try:
            two_bits |= form is not None and element_type(form).bits == 2
        except FormatError as error:
            raise FormatError(f"{checkpoint.folder}: {name}: {error}") from None
    return _TWO_BIT_OPSET if type == "qdq" and two_bits else _STANDARD_OPSET


class _Folder(Export):
    """One folder, planned."""

    def __init__(self, checkpoint: Checkpoint, type: str, opset: int) -> None:
        found = checkpoint.config.peculiarities()
        for words in (found[name] for name in _UNKNOWN if name in found):
            raise CheckpointError(f"{checkpoint.folder} has {words}, whose angles depend on the "
                                  "length of a sequence; an ONNX graph has one table")
        self._checkpoint = checkpoint
        self._opset = opset
        self._nbits = type != "qdq"
        self._positions = checkpoint.config.max_position_embeddings
        shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
        self._matrices = {
            name: self._matrix(name, type) for name, shape in shapes.items() if len(shape) == 2
        }
        self.tensors = [
            self._matrices[name].exported() if name in self._matrices else self._vector_record(name)
            for name in shapes
        ]
        self.warnings = []
        self._companions = checkpoint.companions()
        companions = sum(map(len, self._companions.values()))
        tables = 4 * self._positions * checkpoint.config.head_dim
        graph = _GRAPH_BYTES * (1 + checkpoint.config.num_layers)
        stored = sum(tensor.bytes for tensor in self.tensors)
        self.needed_bytes = stored + tables + graph + companions

    def _matrix(self, name: str, type: str) -> OnnxMatrix:
        from . import onnx_matrices as stored  # noqa: PLC0415

        checkpoint = self._checkpoint
        form = checkpoint.format(name)
        embedding = name == "model.embed_tokens.weight"
        if form is None:
            return stored.FloatMatrix(checkpoint, name)
        if type == "qdq":
            return stored.CodeMatrix(checkpoint, name, self._opset, by_row=embedding)
        if embedding and form.name != "int8":
            raise FormatError(
                f"{checkpoint.folder}: {name} is in {form.name}; {type} looks up an embedding of "
                "int8 or floats: choose --type qdq"
            )
        return stored.BlockMatrix(checkpoint, name, _ACCURACY[type])

    def _vector_record(self, name: str) -> ExportedTensor:
        shape = self._checkpoint.tensors[name].shape
        return ExportedTensor(name, name, shape, "FLOAT", 4 * shape[0], exact=True)

    @override
    def write(self, path: Path, progress: Progress) -> None:
        from onnx import helper  # noqa: PLC0415

        from ..onnx.graph import MICROSOFT, GraphBuilder  # noqa: PLC0415
        from ..onnx.sink import TensorSink  # noqa: PLC0415
        from .onnx_decoder import DecoderGraph  # noqa: PLC0415

        config = self._checkpoint.config
        with TensorSink(path / DATA) as sink:
            builder = GraphBuilder(sink)

            def take(name: str) -> OnnxMatrix:
                self._matrices[name].write(builder)
                progress.advance(self._checkpoint.tensors[name].nbytes)
                return self._matrices[name]

            graph = DecoderGraph(
                config, builder, self._opset, take, self._checkpoint.read, self._positions
            ).build()
        opsets = [helper.make_opsetid("", self._opset)]
        opsets += [helper.make_opsetid(MICROSOFT, 1)] if self._nbits else []
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=ir_version(self._opset),
            producer_name="trilobite", producer_version=__version__,
        )
        with (path / MODEL).open("xb") as file:
            file.write(model.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())
        described = genai_config(config, MODEL, self._positions)
        write_synced(path / "genai_config.json", json_text(described) + "\n")
        for name, content in self._companions.items():
            write_synced(path / name, content)


EXPORTER = Onnx()
