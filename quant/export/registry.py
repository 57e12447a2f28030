"""The targets that ``trilobite export --to`` takes; a line for each."""

from __future__ import annotations

from ...errors import FormatError
from ...tools.registry import Registry, instance_of
from .base import Exporter

__all__ = ["EXPORTERS"]

EXPORTERS: Registry[Exporter] = Registry(
    "Export target", "trilobite.exporters", __package__, {
        "gguf": ".gguf:EXPORTER",
        "hf": ".huggingface:EXPORTER",
        "onnx": ".onnx:EXPORTER",
    }, instance_of(Exporter), FormatError,
)
