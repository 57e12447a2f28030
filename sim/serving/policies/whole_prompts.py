"""Whole prompts: the oldest prompt goes through at once and alone; decode waits for all prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..batch import Batch, Piece, RequestProgress

__all__ = ["WholePrompt"]


@dataclass(frozen=True)
class WholePrompt:
    """First come, first served; a prompt stops every decode for as long as it takes."""

    name: ClassVar[str] = "whole"

    def batch(
        self, waiting: Sequence[RequestProgress], running: Sequence[RequestProgress], layers: int
    ) -> Batch:
        """The oldest waiting prompt."""
        first = waiting[0]
        return Batch((Piece(first, first.request.prompt, 0, 0, layers, True),))
