"""Layered prefill (arXiv 2510.08055): a whole prompt passes a group of layers per decode step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ....errors import EstimateError
from ..batch import Batch, Piece, RequestProgress
from .decode import decode_pieces

__all__ = ["Layered"]


@dataclass(frozen=True)
class Layered:
    """Layers in ``groups`` groups as even as can be: the oldest prompt passes one per batch, whole,
    while all decodes pass all layers. So a prompt reads every weight once, as in one piece.
    """

    name: ClassVar[str] = "layered"
    groups: int = 4

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise EstimateError(f"layers come in at least 1 group, not {self.groups}")

    def batch(
        self, waiting: Sequence[RequestProgress], running: Sequence[RequestProgress], layers: int
    ) -> Batch:
        """All decodes, and the oldest waiting prompt through its next group of layers."""
        pieces = decode_pieces(running, layers)
        first, groups = waiting[0], min(self.groups, layers)
        edges = (layers * index // groups for index in range(1, groups + 1))
        last = next(edge for edge in edges if edge > first.layers)
        prompt = Piece(first, first.request.prompt, 0, first.layers, last, last == layers)
        return Batch((*pieces, prompt))
