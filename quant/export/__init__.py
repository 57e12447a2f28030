"""Checkpoints out: files that other tools read, one module per target.

A target is an ``Exporter`` (``base.py``) and a line in ``registry.py``.
"""

from .base import Export, ExportedTensor, Exporter, ExportRecord, export
from .registry import EXPORTERS

__all__ = ["EXPORTERS", "Export", "ExportRecord", "ExportedTensor", "Exporter", "export"]
