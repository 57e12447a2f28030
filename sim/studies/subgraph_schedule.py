"""The order in which a CPU and an NPU run the subgraphs of a prefill.

Three orders for the same subgraphs: in order (each processor runs its own as they are numbered),
llm.npu's rule out of order, and, of small graphs, the shortest schedule that there is. Times are
seconds, known beforehand; a subgraph has its processor and is never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import EstimateError

__all__ = ["MOST_FOR_OPTIMUM", "Schedule", "Subgraph", "in_order", "optimum", "out_of_order"]

MOST_FOR_OPTIMUM = 14   # subgraphs: the search is exponential
_SLOP = 1e-12           # relative: sums of floats in another order


@dataclass(frozen=True)
class Subgraph:
    """``seconds`` on ``unit``, after the subgraphs numbered ``after``, which come before it."""

    unit: str
    seconds: float
    after: tuple[int, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """When each subgraph begins, in seconds."""

    subgraphs: tuple[Subgraph, ...]
    starts: tuple[float, ...]

    @property
    def makespan(self) -> float:
        """Seconds until the last one ends; 0 without subgraphs."""
        return max((start + one.seconds
                    for start, one in zip(self.starts, self.subgraphs, strict=True)), default=0.0)

    def bubbles(self, unit: str) -> float:
        """The part of the makespan in which ``unit`` does nothing."""
        busy = sum(one.seconds for one in self.subgraphs if one.unit == unit)
        return 1 - busy / self.makespan if self.makespan else 0.0


def in_order(subgraphs: Sequence[Subgraph]) -> Schedule:
    """Each unit runs its subgraphs in their order, and waits where one is not ready.

    Raises
    ------
    EstimateError
        A time is no number of seconds, or a subgraph comes after one that is not before it.
    """
    state = _State(_checked(subgraphs))
    for index in range(len(subgraphs)):
        state.begin(index)
    return state.schedule()


def out_of_order(subgraphs: Sequence[Subgraph], critical: str = "NPU") -> Schedule:
    """llm.npu's rule (arXiv 2407.05858): of what is ready, what feeds the NPU most.

    A unit that is free takes, of its subgraphs that are ready, the one with the largest C: with T
    the seconds of those subgraphs that then wait for nothing else, C is +sum(T) for a subgraph of
    another unit than ``critical``, -sum(T) for one of ``critical``. The first in order breaks ties.

    Raises
    ------
    EstimateError
        See ``in_order``.
    """
    state = _State(_checked(subgraphs))
    waiting = set(range(len(subgraphs)))
    followers = _followers(subgraphs)

    def contribution(index: int) -> float:
        enabled = [other for other in followers[index]
                   if all(before == index or before in state.starts
                          for before in subgraphs[other].after)]
        total = sum(subgraphs[other].seconds for other in enabled)
        return -total if subgraphs[index].unit == critical else total

    while waiting:
        ready = [index for index in waiting if state.is_released(index)]
        now = min(state.earliest(index) for index in ready)
        able = [index for index in ready if state.earliest(index) <= now]
        chosen = max(able, key=lambda index: (contribution(index), -index))
        state.begin(chosen)
        waiting.remove(chosen)
    return state.schedule()


def optimum(subgraphs: Sequence[Subgraph]) -> Schedule:
    """A schedule of the smallest makespan, by branch and bound over active schedules.

    Branches as Giffler and Thompson (1960): of the unit on which a subgraph could end first, every
    subgraph that could begin before that end. Bounds: the longest path that is left, and the work
    that is left of each unit.

    Raises
    ------
    EstimateError
        There are more than ``MOST_FOR_OPTIMUM`` subgraphs, or see ``in_order``.
    """
    known = _checked(subgraphs)
    if len(known) > MOST_FOR_OPTIMUM:
        raise EstimateError(f"The shortest schedule is searched for up to {MOST_FOR_OPTIMUM} "
                            f"subgraphs, not {len(known)}")
    best = min((in_order(known), out_of_order(known)), key=lambda schedule: schedule.makespan)
    tails = _tails(known)

    def search(state: _State) -> None:
        nonlocal best
        waiting = [index for index in range(len(known)) if index not in state.starts]
        if not waiting:
            best = min(best, state.schedule(), key=lambda schedule: schedule.makespan)
            return
        if state.bound(waiting, tails) >= best.makespan * (1 - _SLOP):
            return
        ready = [index for index in waiting if state.is_released(index)]
        first = min(ready, key=lambda index: state.earliest(index) + known[index].seconds)
        end = state.earliest(first) + known[first].seconds
        for index in ready:
            if known[index].unit == known[first].unit and (
                    index == first or state.earliest(index) < end):
                branch = state.copy()
                branch.begin(index)
                search(branch)

    search(_State(known))
    return best


@dataclass
class _State:
    """Subgraphs that have been given a start, and when each unit is free."""

    subgraphs: tuple[Subgraph, ...]
    starts: dict[int, float] = field(default_factory=dict)
    free: dict[str, float] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(self.subgraphs, dict(self.starts), dict(self.free))

    def is_released(self, index: int) -> bool:
        """Whether all that it comes after have a start."""
        return all(other in self.starts for other in self.subgraphs[index].after)

    def earliest(self, index: int) -> float:
        """When it could begin, going by what has a start."""
        one = self.subgraphs[index]
        ends = (self.starts[other] + self.subgraphs[other].seconds
                for other in one.after if other in self.starts)
        return max(self.free.get(one.unit, 0.0), *ends, 0.0)

    def begin(self, index: int) -> None:
        one = self.subgraphs[index]
        self.starts[index] = self.earliest(index)
        self.free[one.unit] = self.starts[index] + one.seconds

    def bound(self, waiting: list[int], tails: list[float]) -> float:
        """No schedule that goes on from here ends before."""
        paths = max(self.earliest(index) + tails[index] for index in waiting)
        work = dict(self.free)
        for index in waiting:
            one = self.subgraphs[index]
            work[one.unit] = work.get(one.unit, 0.0) + one.seconds
        return max(paths, *work.values())

    def schedule(self) -> Schedule:
        return Schedule(self.subgraphs, tuple(
            self.starts[index] for index in range(len(self.subgraphs))))


def _checked(subgraphs: Sequence[Subgraph]) -> tuple[Subgraph, ...]:
    for index, one in enumerate(subgraphs):
        if not (math.isfinite(one.seconds) and one.seconds >= 0):
            raise EstimateError(f"Subgraph {index} takes {one.seconds} seconds")
        wrong = [other for other in one.after if not 0 <= other < index]
        if wrong:
            raise EstimateError(f"Subgraph {index} comes after {wrong[0]}, which is not before it")
    return tuple(subgraphs)


def _followers(subgraphs: Sequence[Subgraph]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in subgraphs]
    for index, one in enumerate(subgraphs):
        for other in dict.fromkeys(one.after):
            found[other].append(index)
    return found


def _tails(subgraphs: Sequence[Subgraph]) -> list[float]:
    """Seconds of the longest path that begins with each subgraph."""
    followers = _followers(subgraphs)
    tails = [0.0] * len(subgraphs)
    for index in reversed(range(len(subgraphs))):
        rest = max((tails[other] for other in followers[index]), default=0.0)
        tails[index] = subgraphs[index].seconds + rest
    return tails
