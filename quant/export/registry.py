"""The targets that ``trilobite export --to`` takes; a line for each."""

from __future__ import annotations

from .base import Exporter
from .gguf import Gguf
from .huggingface import HuggingFace
from .onnx import Onnx

__all__ = ["EXPORTERS"]

EXPORTERS: dict[str, Exporter] = {
    exporter.name: exporter for exporter in (Gguf(), HuggingFace(), Onnx())
}
