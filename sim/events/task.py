"""What runs: a piece of work on one unit, with the bytes that it moves meanwhile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import EstimateError

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """One piece of work.

    It takes its unit for ``start`` seconds (launch, no traffic) and then until ``compute`` seconds
    of arithmetic are done and all ``transfers`` (bytes by channel) have moved, both at one pace: a
    task that waits for memory computes slower, and one that waits for arithmetic asks for no more
    bandwidth than it needs. It begins after all tasks named in ``after``; of the tasks that are
    ready for a unit the one of the smallest ``priority`` (compared as tuples), then name, goes
    first and is not interrupted. ``joules``: energy of its arithmetic. ``label``: what a timeline
    calls it.
    """

    name: str
    unit: str
    compute: float = 0.0
    transfers: Mapping[str, float] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    start: float = 0.0
    priority: tuple[int, ...] = ()
    joules: float = 0.0
    label: str = ""

    def __post_init__(self) -> None:
        """Refuse durations, bytes and joules that are negative or not finite."""
        amounts = {"compute": self.compute, "start": self.start, "joules": self.joules}
        amounts |= {f"bytes on {channel}": moved for channel, moved in self.transfers.items()}
        for what, amount in amounts.items():
            if not 0 <= amount < math.inf:
                raise EstimateError(
                    f"Task {self.name}: {what} must be finite and not negative: {amount}"
                )
