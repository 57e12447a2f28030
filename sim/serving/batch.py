"""What runs together: pieces of requests, chosen by a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .requests import Request

__all__ = ["Batch", "Piece", "Policy", "RequestProgress"]


@dataclass(eq=False, slots=True)
class RequestProgress:
    """How far a request is: prompt tokens through all layers, layers that the whole prompt passed
    (layered prefill), operators done (preempted prefill), how many tokens came, when the first and
    the last of them did, and the longest seconds between two. ``alone`` is the seconds of its
    prefill with nothing beside it.
    """

    request: Request
    alone: float
    prefilled: int = 0
    layers: int = 0
    operators: int = 0
    generated: int = 0
    first: float = 0.0
    last: float = 0.0
    pause: float = 0.0

    @property
    def context(self) -> int:
        """Positions in its cache once its prompt is through; the last token is not yet in it."""
        return self.request.prompt + self.generated - 1

    def came(self, tokens: int, last: float, pause: float) -> None:
        """Note ``tokens`` tokens, the last of them at ``last`` and none after more than ``pause``.

        The pause before the first token of all is none.
        """
        if self.generated:
            self.pause = max(self.pause, pause)
        else:
            self.first = last
        self.generated += tokens
        self.last = last


@dataclass(frozen=True, slots=True)
class Piece:
    """``tokens`` tokens of one request, on ``past`` positions, through layers ``first`` to
    ``last - 1``; with ``yields`` a token comes out at the end.
    """

    progress: RequestProgress
    tokens: int
    past: int
    first: int
    last: int
    yields: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces that share each reading of a weight. One that is ``preemptible`` holds one prefill,
    and ends at the first operator boundary after an arrival.
    """

    pieces: tuple[Piece, ...]
    preemptible: bool = False


class Policy(Protocol):
    """Who goes when, while prompts wait; while none does, all that generate go."""

    @property
    def name(self) -> str:
        """What the command line and reports call it."""
        ...

    def batch(
        self, waiting: Sequence[RequestProgress], running: Sequence[RequestProgress], layers: int
    ) -> Batch:
        """The next batch for a model of ``layers`` layers.

        ``waiting``: requests whose prompt is not through, at least one, in order of arrival;
        ``running``: those that generate.
        """
        ...
