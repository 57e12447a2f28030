"""What holds for every graph of tasks; and what cannot."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.sim.events import Channel, Kind, System, Task, Unit, simulate
from trilobite.sim.events.arbitration import Demand, share

UNITS = ("CPU", "GPU", "NPU")
CHANNELS = ("DRAM", "flash")
AMOUNT = st.one_of(st.just(0.0), st.floats(0.01, 10.0))


@st.composite
def systems(draw):
    positive = st.floats(0.1, 10.0)
    units = [
        Unit(name, Kind(name), {
            channel: draw(positive) for channel in draw(st.sets(st.sampled_from(CHANNELS)))
        }, draw(AMOUNT))
        for name in UNITS
    ]
    return System.of(
        units,
        [Channel("DRAM", Kind.DRAM, draw(positive), draw(AMOUNT)),
         Channel("flash", Kind.FLASH, draw(positive), draw(AMOUNT))],
        draw(AMOUNT),
    )


@st.composite
def graphs(draw, most=12, chained=False):
    tasks = []
    for index in range(draw(st.integers(1, most))):
        earlier = [task.name for task in tasks]
        after = earlier[-1:] if chained else sorted(
            draw(st.sets(st.sampled_from(earlier), max_size=3)) if earlier else ()
        )
        tasks.append(Task(
            f"t{index:02}", draw(st.sampled_from(UNITS)), draw(AMOUNT),
            {channel: draw(AMOUNT) for channel in draw(st.sets(st.sampled_from(CHANNELS)))},
            tuple(after), draw(AMOUNT), (draw(st.integers(0, 2)),), draw(AMOUNT),
        ))
    return tasks


def alone(system, task):
    """Seconds of a task that has the system for itself."""
    limits = system.units[task.unit].limits
    moving = [
        moved / min(channel.bandwidth, limits.get(name, math.inf))
        for name, channel in system.channels.items() if (moved := task.transfers.get(name, 0))
    ]
    return task.start + max([task.compute, *moving])


def critical_path(system, tasks):
    ends = {}
    for task in tasks:   # they are given in an order that follows the arrows
        ends[task.name] = alone(system, task) + max((ends[name] for name in task.after), default=0)
    return max(ends.values())


@given(systems(), graphs())
def test_work_is_conserved_and_nothing_is_over_100_percent(system, tasks):
    timeline = simulate(system, tasks)
    assert sorted(span.task.name for span in timeline.spans) == [task.name for task in tasks]
    for name, channel in system.channels.items():
        asked = sum(task.transfers.get(name, 0) for task in tasks)
        assert timeline.moved(name) == pytest.approx(asked, rel=1e-6, abs=1e-6)
        assert all(load.rates[name] <= channel.bandwidth * (1 + 1e-9) for load in timeline.loads)
        assert timeline.bandwidth_used(name) <= 1 + 1e-9
    for unit in system.units:
        assert timeline.utilization(unit) <= 1 + 1e-9
        for before, after in itertools.pairwise(timeline.on(unit)):
            assert before.end <= after.start
    for span in timeline.spans:
        assert span.end - span.start >= alone(system, span.task) * (1 - 1e-9) - 1e-12
        for name in span.task.after:
            assert timeline.by_name[name].end <= span.start


@given(systems(), graphs())
def test_the_makespan_is_between_its_bounds(system, tasks):
    makespan = simulate(system, tasks).makespan
    least = [critical_path(system, tasks)]
    least += [
        sum(alone(system, task) for task in tasks if task.unit == unit) for unit in system.units
    ]
    least += [
        sum(task.transfers.get(name, 0) for task in tasks) / channel.bandwidth
        for name, channel in system.channels.items()
    ]
    assert max(least) * (1 - 1e-9) <= makespan + 1e-12
    if all(len(task.transfers) < 2 for task in tasks):
        assert makespan <= sum(alone(system, task) for task in tasks) * (1 + 1e-9) + 1e-12


@given(systems(), graphs(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(system, tasks, shuffle: random.Random):
    shuffled = shuffle.sample(tasks, len(tasks))
    assert simulate(system, shuffled) == simulate(system, tasks)


@given(systems(), graphs())
def test_energy_adds_up(system, tasks):
    timeline = simulate(system, tasks)
    energy = timeline.energy
    per_task = [
        span.task.joules + system.units[span.task.unit].power * (span.end - span.start)
        + sum(system.channels[name].energy * moved for name, moved in span.task.transfers.items())
        for span in timeline.spans
    ]
    assert energy.total == pytest.approx(system.idle * timeline.makespan + sum(per_task))
    assert energy.total >= 0


def faster(system, factor):
    return System.of(
        system.units.values(),
        [Channel(one.name, one.kind, one.bandwidth * factor) for one in system.channels.values()],
    )


@given(systems(), graphs(chained=True), st.floats(1.0, 8.0))
def test_more_bandwidth_is_never_slower_one_task_at_a_time(system, tasks, factor):
    before, after = simulate(system, tasks), simulate(faster(system, factor), tasks)
    assert after.makespan <= before.makespan * (1 + 1e-9)
    assert before.makespan == pytest.approx(sum(alone(system, task) for task in tasks))


@given(systems(), st.floats(1.0, 8.0), graphs(most=3))
def test_more_bandwidth_is_never_slower_for_tasks_that_begin_together(system, factor, tasks):
    together = [
        Task(task.name, unit, task.compute, dict(list(task.transfers.items())[:1]))
        for task, unit in zip(tasks, UNITS, strict=False)
    ]
    before, after = simulate(system, together), simulate(faster(system, factor), together)
    for task in together:
        assert after.by_name[task.name].end <= before.by_name[task.name].end * (1 + 1e-9)


def test_in_a_graph_more_bandwidth_can_be_slower():
    """Graham's anomaly: what finishes early lets competitors in early. It is not a bug."""
    def makespan(bandwidth):
        others = [Unit(f"DMA {index}", Kind.DMA) for index in range(9)]
        system = System.of(
            [Unit("CPU", Kind.CPU), Unit("NPU", Kind.NPU), *others],
            [Channel("DRAM", Kind.DRAM, bandwidth)],
        )
        return simulate(system, [
            Task("read", "CPU", transfers={"DRAM": 20.0}),
            Task("compute", "NPU", compute=10.0),
            Task("critical", "NPU", transfers={"DRAM": 10.0}, after=("compute",)),
            Task("tail", "NPU", compute=100.0, after=("critical",)),
            *(Task(one.name, one.name, transfers={"DRAM": 20.0}, after=("read",))
              for one in others),
        ]).makespan

    assert makespan(1.5) == pytest.approx(150)
    assert makespan(2.0) == pytest.approx(160)


DEMANDS = st.lists(
    st.builds(
        Demand, st.floats(0.01, 100.0),
        st.dictionaries(st.sampled_from(CHANNELS), st.floats(0.01, 10.0)),
    ),
    max_size=6,
)


@given(DEMANDS, st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_sharing_fills_a_channel_or_serves_everybody(demands, dram, flash):
    bandwidths = {"DRAM": dram, "flash": flash}
    speeds = share(demands, bandwidths)
    used = {
        name: sum(
            speed * demand.transfers.get(name, 0)
            for speed, demand in zip(speeds, demands, strict=True)
        )
        for name in bandwidths
    }
    for name, bandwidth in bandwidths.items():
        assert used[name] <= bandwidth * (1 + 1e-9)
    for speed, demand in zip(speeds, demands, strict=True):
        full = any(used[name] >= bandwidths[name] * (1 - 1e-9) for name in demand.transfers)
        assert speed == demand.limit or full
        assert 0 < speed <= demand.limit


def test_equal_demands_get_equal_parts_and_small_ones_are_served_first():
    demands = [Demand(1.0, {"DRAM": 2.0}), Demand(9.0, {"DRAM": 5.0}), Demand(9.0, {"DRAM": 10.0})]
    assert share(demands, {"DRAM": 12.0}) == pytest.approx([1.0, 1.0, 0.5])
