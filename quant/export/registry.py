"""The targets that ``trilobite export --to`` takes; a line for each."""

from __future__ import annotations

from typing import Any

from ...errors import FormatError
from ...tools.registry import Registry
from .base import Exporter

__all__ = ["EXPORTERS"]


def _wrong(name: str, thing: Any) -> str | None:
    """Why ``thing`` is not the exporter ``name``."""
    if not isinstance(thing, Exporter):
        return "is no Exporter"
    return None if thing.name == name else f"says that its name is {thing.name!r}, not {name!r}"


EXPORTERS: Registry[Exporter] = Registry(
    "Export target", "trilobite.exporters", __package__, {
        "gguf": ".gguf:EXPORTER",
        "hf": ".huggingface:EXPORTER",
        "onnx": ".onnx:EXPORTER",
    }, _wrong, FormatError,
)
