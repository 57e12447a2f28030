"""What units of the accelerator ask of its memory port, as streams."""

from __future__ import annotations

from amaranth.lib import stream

from ..hw.memory.axi import COUNT_WIDTH, request_layout
from ..hw.rows.row_source import row_request_layout
from .accelerator_parameters import AcceleratorParameters

__all__ = ["row_requests", "word_requests"]


def row_requests(parameters: AcceleratorParameters) -> stream.Signature:
    """Rows that are to be read or written."""
    return stream.Signature(row_request_layout(
        parameters.address_width, parameters.word_bytes, parameters.max_beats))


def word_requests(parameters: AcceleratorParameters) -> stream.Signature:
    """Words that are to be read or written."""
    return stream.Signature(request_layout(
        parameters.address_width, parameters.word_bytes, COUNT_WIDTH))
