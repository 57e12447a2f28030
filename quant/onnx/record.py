"""What a quantization of an ONNX model did: the record that lies beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...tools.json_text import json_text
from ..output.manifest import CheckpointSource, TensorRecord

__all__ = ["KeptWeight", "OnnxManifest"]


@dataclass(frozen=True)
class KeptWeight:
    """A float tensor that stayed as it was, and why."""

    name: str
    shape: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class OnnxManifest:
    """The whole record; its fields are the keys of the JSON, in this order.

    Attributes
    ----------
    trilobite_version, libraries
        What computed the numbers: versions of the toolkit, of ``python``, ``numpy`` and ``onnx``.
    source
        The model's file and those with its external data, with their hashes (None after a dry
        run).
    format
        ``Format.spec()`` of the weights.
    method
        "rtn".
    layout
        "qdq", "matmulnbits" or "matmulnbits-float".
    opset_before, opset_after
        Version of ONNX's own operators.
    tensors
        A line for each quantized weight; shapes are those in the model. See ``TensorRecord``.
    skipped
        Weights of MatMul and Gemm that stayed floats.
    kept
        Other float tensors with two axes or more.
    bytes_before, bytes_after
        Stored bytes of the quantized weights.
    warnings
        Sentences that a user must see.
    """

    trilobite_version: str
    libraries: dict[str, str]
    source: CheckpointSource
    format: dict[str, Any]
    method: str
    layout: str
    opset_before: int
    opset_after: int
    tensors: tuple[TensorRecord, ...]
    skipped: tuple[KeptWeight, ...]
    kept: tuple[KeptWeight, ...]
    bytes_before: int
    bytes_after: int
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """The text of the file."""
        return json_text(asdict(self)) + "\n"
