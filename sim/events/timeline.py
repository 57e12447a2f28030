"""What ran when, how busy it kept everything, and the joules of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .system import System
from .task import Task

__all__ = ["Load", "Span", "Timeline", "TimelineEnergy"]


@dataclass(frozen=True)
class Span:
    """A task, and the seconds at which it took its unit and left it."""

    task: Task
    start: float
    end: float


@dataclass(frozen=True)
class Load:
    """The bytes per second on every channel from ``time`` [s] on."""

    time: float
    rates: Mapping[str, float]


@dataclass(frozen=True)
class TimelineEnergy:
    """Joules: idle power, power of each busy unit, bytes on each channel, and arithmetic."""

    idle: float
    units: Mapping[str, float]
    channels: Mapping[str, float]
    tasks: float

    @property
    def total(self) -> float:
        """Joules in all."""
        return self.idle + sum(self.units.values()) + sum(self.channels.values()) + self.tasks


@dataclass(frozen=True)
class Timeline:
    """The result of a simulation; spans are in the order in which they end."""

    system: System
    spans: tuple[Span, ...]
    loads: tuple[Load, ...]

    @property
    def makespan(self) -> float:
        """Seconds until everything was done."""
        return max((span.end for span in self.spans), default=0.0)

    @cached_property
    def by_name(self) -> Mapping[str, Span]:
        """The spans by the names of their tasks."""
        return {span.task.name: span for span in self.spans}

    def on(self, unit: str) -> list[Span]:
        """The spans on ``unit``, in order of time."""
        spans = [span for span in self.spans if span.task.unit == unit]
        return sorted(spans, key=lambda span: (span.start, span.end))

    def busy(self, unit: str) -> float:
        """Seconds for which ``unit`` had a task."""
        return sum(span.end - span.start for span in self.spans if span.task.unit == unit)

    def utilization(self, unit: str) -> float:
        """The fraction of the makespan for which ``unit`` had a task."""
        return self.busy(unit) / self.makespan if self.makespan else 0.0

    def moved(self, channel: str) -> float:
        """Bytes that crossed ``channel``: its load over time."""
        return sum(
            before.rates[channel] * (after.time - before.time)
            for before, after in itertools.pairwise(self.loads)
        )

    def bandwidth_used(self, channel: str) -> float:
        """The mean fraction of the bandwidth of ``channel`` that was used."""
        capacity = self.system.channels[channel].bandwidth
        return self.moved(channel) / (capacity * self.makespan) if self.makespan else 0.0

    @property
    def energy(self) -> TimelineEnergy:
        """Joules, by what drew them. Bytes are the tasks' own, so they add up exactly."""
        return TimelineEnergy(
            idle=self.system.idle * self.makespan,
            units={
                name: unit.power * self.busy(name) for name, unit in self.system.units.items()
            },
            channels={
                name: channel.energy * sum(span.task.transfers.get(name, 0) for span in self.spans)
                for name, channel in self.system.channels.items()
            },
            tasks=sum(span.task.joules for span in self.spans),
        )
