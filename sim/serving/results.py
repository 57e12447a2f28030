"""What came of a trace of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Serving"]

_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, eq=False)
class Serving:
    """All requests under one policy: seconds from start to end, of which ``busy`` with work, joules
    (those of idle time among them), and batches run.

    Attributes
    ----------
    first_token
        Seconds from arrival to the first token (TTFT), float64 [requests], in the order in which
        the requests ended.
    per_token
        Mean seconds per token after the first (TPOT), float64, of the requests with more than one.
    output_tokens
        Tokens generated for all requests.
    backlog
        Requests without a slot when the last one had arrived; of ``slots``.
    longest_pause
        The longest seconds between two tokens of one request; 0 where none has two.
    """

    policy: str
    first_token: np.ndarray
    per_token: np.ndarray
    output_tokens: int
    longest_pause: float
    seconds: float
    busy: float
    joules: float
    batches: int
    backlog: int = 0
    slots: int = 1

    @property
    def saturated(self) -> bool:
        """Whether more requests wait for a slot in the end than there are slots.

        Requests then arrive faster than they are served, and times grow with the trace's length.
        """
        return self.backlog > self.slots

    @property
    def joules_per_token(self) -> float:
        """Joules of the whole trace per generated token."""
        return self.joules / self.output_tokens

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values; seconds and joules."""
        return {
            "policy": self.policy, "requests": len(self.first_token),
            "output_tokens": self.output_tokens, "seconds": self.seconds, "busy": self.busy,
            "batches": self.batches, "tokens_per_second": self.output_tokens / self.seconds,
            "joules": self.joules, "joules_per_token": self.joules_per_token,
            "first_token": _statistics(self.first_token),
            "per_token": _statistics(self.per_token) if len(self.per_token) else None,
            "longest_pause": self.longest_pause, "backlog": self.backlog,
            "saturated": self.saturated,
        }


def _statistics(values: np.ndarray) -> dict[str, float]:
    """The mean, and percentiles interpolated between neighbours."""
    marks = np.percentile(values, _PERCENTILES)
    return {
        "mean": float(np.mean(values)),
        **{f"p{mark}": float(value) for mark, value in zip(_PERCENTILES, marks, strict=True)},
    }
