"""Chunked prefill (SARATHI, arXiv 2308.16369): a piece of a prompt rides with every decode step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ....errors import EstimateError
from ..batch import Batch, Piece, RequestProgress
from .decode import decode_pieces

__all__ = ["Chunked"]


@dataclass(frozen=True)
class Chunked:
    """Batches of ``chunk`` tokens: all decodes, and as much of the oldest prompt as is left of it.

    At least one token of a prompt goes with each batch, so prompts end however many decode.
    """

    name: ClassVar[str] = "chunked"
    chunk: int = 128

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise EstimateError(f"a chunk has at least 1 token, not {self.chunk}")

    def batch(
        self, waiting: Sequence[RequestProgress], running: Sequence[RequestProgress], layers: int
    ) -> Batch:
        """All decodes and the next chunk of the oldest waiting prompt."""
        pieces = decode_pieces(running, layers)
        first = waiting[0]
        rest = first.request.prompt - first.prefilled
        tokens = min(rest, max(1, self.chunk - len(pieces)))
        chunk = Piece(first, tokens, first.prefilled, 0, layers, tokens == rest)
        return Batch((*pieces, chunk))
