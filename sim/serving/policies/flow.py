"""FlowPrefill (arXiv 2602.16603): a prefill yields to a more urgent one between two operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ....errors import EstimateError
from ..batch import Batch, Piece, RequestProgress

__all__ = ["FlowPrefill"]


@dataclass(frozen=True)
class FlowPrefill:
    """The prompt with the earliest deadline goes: ``slack`` times its own prefill after arrival.

    It is chosen anew when a request arrives or ends, not at each operator, and what an interrupted
    prompt has computed is kept. Decode goes when no prompt waits; the paper decodes elsewhere.
    """

    name: ClassVar[str] = "flow"
    slack: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.slack < float("inf"):
            raise EstimateError(f"the slack is a positive number, not {self.slack}")

    def batch(
        self, waiting: Sequence[RequestProgress], running: Sequence[RequestProgress], layers: int
    ) -> Batch:
        """The most urgent prompt from where it was interrupted."""
        first = min(waiting, key=lambda one: one.request.arrival + self.slack * one.alone)
        piece = Piece(first, first.request.prompt, 0, 0, layers, True)
        return Batch((piece,), preemptible=True)
