"""What tasks run on: units that do one task at a time, and channels that several share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ...errors import EstimateError

__all__ = ["Channel", "Kind", "System", "Unit"]


class Kind(StrEnum):
    """What a unit or a channel is."""

    MATMUL = "matmul engine"
    VECTOR = "vector unit"
    ATTENTION = "attention unit"
    CPU = "CPU"
    GPU = "GPU"
    NPU = "NPU"
    DMA = "DMA"
    DRAM = "DRAM"
    FLASH = "flash"
    LINK = "link"

    @property
    def is_shared(self) -> bool:
        """Whether several tasks use it at once, each with a part of its bandwidth."""
        return self in (Kind.DRAM, Kind.FLASH, Kind.LINK)


@dataclass(frozen=True)
class Unit:
    """A resource that runs one task at a time.

    ``limits``: bytes per second that it reaches alone on a channel; none where it is not named.
    ``power``: watts that it adds while a task is on it, waiting for memory included.
    """

    name: str
    kind: Kind
    limits: Mapping[str, float] = field(default_factory=dict)
    power: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shared kinds, limits that are not positive, and negative power."""
        if self.kind.is_shared:
            raise EstimateError(f"{self.name}: {self.kind} is shared: it is a channel, not a unit")
        for channel, limit in self.limits.items():
            if not limit > 0:
                raise EstimateError(
                    f"{self.name}: the limit on {channel} must be positive: {limit}"
                )
        _check_not_negative(self.name, "power", self.power)


@dataclass(frozen=True)
class Channel:
    """A resource of ``bandwidth`` [B/s] that tasks share; ``energy``: joules per byte."""

    name: str
    kind: Kind
    bandwidth: float
    energy: float = 0.0

    def __post_init__(self) -> None:
        """Refuse exclusive kinds, a bandwidth that is not positive, and negative energy."""
        if not self.kind.is_shared:
            raise EstimateError(f"{self.name}: {self.kind} runs tasks: it is a unit, not a channel")
        if not 0 < self.bandwidth < math.inf:
            raise EstimateError(
                f"{self.name}: the bandwidth must be positive and finite: {self.bandwidth}"
            )
        _check_not_negative(self.name, "energy", self.energy)


@dataclass(frozen=True)
class System:
    """Units and channels by name, and the watts that are drawn whatever runs."""

    units: Mapping[str, Unit]
    channels: Mapping[str, Channel]
    idle: float = 0.0

    @classmethod
    def of(
        cls, units: Iterable[Unit], channels: Iterable[Channel] = (), idle: float = 0.0
    ) -> System:
        """A system of these resources, in the order of their names.

        Raises
        ------
        EstimateError
            Two have the same name, a limit is on a channel that is not there, or ``idle`` is
            negative.
        """
        units, channels = sorted(units, key=_name), sorted(channels, key=_name)
        names = [*(unit.name for unit in units), *(channel.name for channel in channels)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise EstimateError(f"Two resources have the name {twice[0]}")
        known = {channel.name for channel in channels}
        for unit in units:
            if unknown := sorted(set(unit.limits) - known):
                raise EstimateError(f"{unit.name} has a limit on {unknown[0]}, which is no channel")
        _check_not_negative("The system", "idle power", idle)
        return cls({unit.name: unit for unit in units}, {one.name: one for one in channels}, idle)


def _name(resource: Unit | Channel) -> str:
    return resource.name


def _check_not_negative(name: str, what: str, value: float) -> None:
    """Refuse a value that is negative or not finite."""
    if not 0 <= value < math.inf:
        raise EstimateError(f"{name}: {what} must be finite and not negative: {value}")
