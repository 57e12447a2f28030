"""How tasks that run at once share the channels: max-min fair, up to what each can use.

A processor alone is limited by its own port, all together by the memory: a CPU that reaches
43.9 GB/s and an NPU that reaches 56 get 29.8 each where both together reach 59.6, not 43.9 and 56.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Demand", "share"]


@dataclass(frozen=True)
class Demand:
    """What one task asks for: ``transfers`` bytes in all, done at most ``limit`` times a second."""

    limit: float
    transfers: Mapping[str, float]

    @property
    def largest(self) -> float:
        """Bytes on the channel that the task uses most."""
        return max(self.transfers.values())


def share(demands: Sequence[Demand], bandwidths: Mapping[str, float]) -> list[float]:
    """The speed [1/s] at which each demand is served.

    Progressive filling: all demands grow alike, measured in bytes per second on the channel that
    each uses most, until a demand reaches its limit or a channel is full; those stay, and the rest
    grow on. No channel is over its bandwidth, and each demand is at its limit or uses a full
    channel.
    """
    speeds = [demand.limit for demand in demands]
    free = dict(bandwidths)
    growing = [index for index, demand in enumerate(demands) if demand.transfers]
    while growing:
        levels = {
            channel: max(left, 0.0) / weight for channel, left in free.items()
            if (weight := sum(_weight(demands[index], channel) for index in growing)) > 0
        }
        full = min(levels, key=lambda channel: levels[channel])
        level = levels[full]
        capped = [
            index for index in growing if demands[index].limit * demands[index].largest <= level
        ]
        done = capped or [
            index for index in growing if _weight(demands[index], full) > 0
        ]
        for index in done:
            demand = demands[index]
            speeds[index] = demand.limit if capped else level / demand.largest
            for channel, moved in demand.transfers.items():
                free[channel] -= speeds[index] * moved
        growing = [index for index in growing if index not in done]
    return speeds


def _weight(demand: Demand, channel: str) -> float:
    """Bytes on ``channel`` for each byte on the channel that the demand uses most."""
    return demand.transfers.get(channel, 0.0) / demand.largest
