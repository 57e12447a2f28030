"""What the policies share: one decode step of all requests that generate."""

from __future__ import annotations

from collections.abc import Sequence

from ..batch import Piece, RequestProgress

__all__ = ["decode_pieces"]


def decode_pieces(running: Sequence[RequestProgress], layers: int) -> tuple[Piece, ...]:
    """One token of each of ``running``."""
    return tuple(Piece(one, 1, one.context, 0, layers, True) for one in running)
