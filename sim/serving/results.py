"""What came of a trace of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .requests import Request

__all__ = ["Served", "Serving"]

_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Served:
    """A request, and when its tokens came, in seconds after the start of the trace."""

    request: Request
    tokens: tuple[float, ...]

    @property
    def first_token(self) -> float:
        """Seconds from arrival to the first token (TTFT)."""
        return self.tokens[0] - self.request.arrival

    @property
    def per_token(self) -> float | None:
        """Mean seconds per token after the first (TPOT); None where there is only one."""
        after = len(self.tokens) - 1
        return (self.tokens[-1] - self.tokens[0]) / after if after else None


@dataclass(frozen=True)
class Serving:
    """All requests under one policy: seconds from start to end, of which ``busy`` with work, joules
    (those of idle time among them), and batches run.
    """

    policy: str
    served: tuple[Served, ...]
    seconds: float
    busy: float
    joules: float
    batches: int

    @property
    def output_tokens(self) -> int:
        """Tokens generated for all requests."""
        return sum(len(one.tokens) for one in self.served)

    @property
    def joules_per_token(self) -> float:
        """Joules of the whole trace per generated token."""
        return self.joules / self.output_tokens

    @property
    def longest_pause(self) -> float:
        """The longest seconds between two tokens of one request."""
        return max((float(np.diff(one.tokens).max()) for one in self.served
                    if len(one.tokens) > 1), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values; seconds and joules."""
        per_token = [one.per_token for one in self.served if one.per_token is not None]
        return {
            "policy": self.policy, "requests": len(self.served),
            "output_tokens": self.output_tokens, "seconds": self.seconds, "busy": self.busy,
            "batches": self.batches, "tokens_per_second": self.output_tokens / self.seconds,
            "joules": self.joules, "joules_per_token": self.joules_per_token,
            "first_token": _statistics([one.first_token for one in self.served]),
            "per_token": _statistics(per_token) if per_token else None,
            "longest_pause": self.longest_pause,
        }


def _statistics(values: list[float]) -> dict[str, float]:
    """The mean, and percentiles interpolated between neighbours."""
    marks = np.percentile(values, _PERCENTILES)
    return {
        "mean": float(np.mean(values)),
        **{f"p{mark}": float(value) for mark, value in zip(_PERCENTILES, marks, strict=True)},
    }
