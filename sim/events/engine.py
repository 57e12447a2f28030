"""The simulator: from event to event, no step of time.

Between two events every task runs at one speed. An event is the end of a launch or of a task; then
ready tasks begin, and the channels are shared anew. The result depends on the tasks, not on the
order in which they are given.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import EstimateError
from .arbitration import Demand, share
from .system import System
from .task import Task
from .timeline import Load, Span, Timeline

__all__ = ["simulate"]


def simulate(system: System, tasks: Iterable[Task]) -> Timeline:
    """Run ``tasks`` on ``system`` as soon as units and predecessors allow.

    Raises
    ------
    EstimateError
        Two tasks have one name; a task names a unit, a channel or a predecessor that is not there;
        or tasks wait for each other in a circle.
    """
    known = _checked(system, tasks)
    queues = _Queues(known)
    running: dict[str, _Running] = {}
    now, spans = 0.0, []
    loads: list[Load] = []
    while True:
        for unit in system.units:
            if unit not in running and (task := queues.take(unit)) is not None:
                running[unit] = _Running.begin(system, task, now)
        if not running:
            break
        load = _set_speeds(system, running)
        if not loads or load != loads[-1].rates:
            loads.append(Load(now, load))
        step = min(one.remaining for one in running.values())
        now += step
        for unit in [unit for unit, one in running.items() if one.advance(step)]:
            done = running.pop(unit)
            spans.append(Span(done.task, done.began, now))
            queues.finish(done.task)
    if queues.waiting:
        raise EstimateError(f"Tasks wait for each other in a circle: {queues.circle()}")
    loads.append(Load(now, dict.fromkeys(system.channels, 0.0)))
    return Timeline(system, tuple(spans), tuple(loads))


def _checked(system: System, tasks: Iterable[Task]) -> dict[str, Task]:
    """The tasks by name, in the order of their names, all that they name being there."""
    known: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda task: task.name):
        if task.name in known:
            raise EstimateError(f"Two tasks have the name {task.name}")
        known[task.name] = task
    for task in known.values():
        if task.unit not in system.units:
            raise EstimateError(
                f"Task {task.name} runs on {task.unit}; there are {', '.join(system.units)}"
            )
        if unknown := sorted(name for name in task.transfers if name not in system.channels):
            raise EstimateError(
                f"Task {task.name} moves bytes on {unknown[0]}, which is no channel"
            )
        if unknown := sorted(name for name in task.after if name not in known):
            raise EstimateError(f"Task {task.name} comes after {unknown[0]}, which is no task")
    return known


class _Queues:
    """Tasks that have not begun: those that wait for others, and per unit those that are ready."""

    def __init__(self, tasks: dict[str, Task]) -> None:
        self.waiting = {name: set(task.after) for name, task in tasks.items() if task.after}
        self._tasks = tasks
        self._followers: dict[str, list[str]] = {}
        for name, missing in self.waiting.items():
            for other in sorted(missing):
                self._followers.setdefault(other, []).append(name)
        self._ready: dict[str, list[tuple[tuple[int, ...], str]]] = {}
        for task in tasks.values():
            if not task.after:
                self._add(task)

    def _add(self, task: Task) -> None:
        heapq.heappush(self._ready.setdefault(task.unit, []), (task.priority, task.name))

    def take(self, unit: str) -> Task | None:
        """The next task of ``unit``, if one is ready."""
        ready = self._ready.get(unit)
        return self._tasks[heapq.heappop(ready)[1]] if ready else None

    def finish(self, task: Task) -> None:
        """Release those that waited for ``task`` alone."""
        for follower in self._followers.get(task.name, ()):
            self.waiting[follower].discard(task.name)
            if not self.waiting[follower]:
                del self.waiting[follower]
                self._add(self._tasks[follower])

    def circle(self) -> str:
        """The names of tasks that wait for each other."""
        path, name = [], min(self.waiting)
        while name not in path:
            path.append(name)
            name = min(self.waiting[name])
        return " after ".join([*path[path.index(name):], name])


@dataclass
class _Running:
    """A task on its unit: what is left of its launch [s] and of its work [fraction]."""

    task: Task
    began: float
    launch: float
    demand: Demand
    work: float = 1.0
    speed: float = 0.0

    @classmethod
    def begin(cls, system: System, task: Task, now: float) -> _Running:
        """``task`` as it takes its unit."""
        transfers = {channel: moved for channel, moved in task.transfers.items() if moved > 0}
        limit = 1 / task.compute if task.compute > 0 else math.inf
        for channel, most in system.units[task.unit].limits.items():
            if channel in transfers:
                limit = min(limit, most / transfers[channel])
        return cls(task, now, task.start, Demand(limit, transfers))

    @property
    def remaining(self) -> float:
        """Seconds to its next event, at its present speed."""
        return self.launch if self.launch > 0 else self.work / self.speed

    def advance(self, step: float) -> bool:
        """Let ``step`` seconds pass, at most ``remaining``; whether the task is done."""
        over = self.remaining <= step
        if self.launch > 0:
            self.launch = 0.0 if over else self.launch - step
            return over and self.demand.limit == math.inf and not self.demand.transfers
        self.work = 0.0 if over else max(self.work - step * self.speed, 0.0)
        return over


def _set_speeds(system: System, running: dict[str, _Running]) -> dict[str, float]:
    """Share the channels among the tasks that are past their launch; bytes per second of each."""
    load = dict.fromkeys(system.channels, 0.0)
    working = [running[unit] for unit in sorted(running) if running[unit].launch <= 0]
    bandwidths = {name: channel.bandwidth for name, channel in system.channels.items()}
    for one, speed in zip(working, share([one.demand for one in working], bandwidths), strict=True):
        one.speed = speed
        for channel, moved in one.demand.transfers.items():
            load[channel] += speed * moved
    return load
