"""How fast external memory is, in cycles of the fabric."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["DdrTiming"]


@dataclass(frozen=True)
class DdrTiming:
    """How fast the memory is, in cycles of the fabric.

    Parameters
    ----------
    latency : int
        From a read's address to its first data, and from a write's last data to its
        acknowledgement; at least 2.
    words, per_cycles : int
        Bandwidth: at most ``words`` words in ``per_cycles`` cycles, reads and writes together.
    refresh_interval, refresh_cycles : int
        Every ``refresh_interval`` cycles, nothing moves for ``refresh_cycles``. 0: no refresh.
    turnaround : int
        Cycles lost whenever the direction changes between reads and writes; at least 1.
    queue : int
        Bursts of each direction that may wait.
    """

    latency: int = 60
    words: int = 1
    per_cycles: int = 1
    refresh_interval: int = 0
    refresh_cycles: int = 0
    turnaround: int = 8
    queue: int = 16

    def __post_init__(self) -> None:
        least = {"latency": 2, "refresh_interval": 0, "refresh_cycles": 0}
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < least.get(field.name, 1):
                raise ValueError(f"DDR timing {field.name} must be an integer of at least "
                                 f"{least.get(field.name, 1)}, not {value!r}")
        if self.words > self.per_cycles:
            raise ValueError(f"A port moves at most one word per cycle, not {self.words} in "
                             f"{self.per_cycles}")
        if self.refresh_cycles and self.refresh_cycles >= self.refresh_interval:
            raise ValueError(f"A refresh of {self.refresh_cycles} cycles every "
                             f"{self.refresh_interval} leaves no time for data")

    @property
    def share(self) -> float:
        """Words per cycle that the memory moves at best, in one direction."""
        refresh = self.refresh_cycles / self.refresh_interval if self.refresh_cycles else 0.0
        return self.words / self.per_cycles * (1 - refresh)
