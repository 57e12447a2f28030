"""Timelines worked out by hand."""

import pytest

from trilobite.errors import EstimateError
from trilobite.sim.events import Channel, Kind, System, Task, Unit, simulate

GB = 1e9
PHONE = System.of(
    [Unit("CPU", Kind.CPU, {"DRAM": 43.9 * GB}), Unit("NPU", Kind.NPU, {"DRAM": 56 * GB})],
    [Channel("DRAM", Kind.DRAM, 59.6 * GB)],
)


def spans(timeline):
    return {
        name: (pytest.approx(span.start), pytest.approx(span.end))
        for name, span in timeline.by_name.items()
    }


def rates(timeline):
    return [load.rates["DRAM"] / GB for load in timeline.loads]


def test_each_processor_alone_reaches_its_own_bandwidth():
    for unit, rate in (("CPU", 43.9), ("NPU", 56.0)):
        timeline = simulate(PHONE, [Task("read", unit, transfers={"DRAM": rate * GB})])
        assert timeline.makespan == pytest.approx(1)
        assert rates(timeline) == [pytest.approx(rate), 0]


def test_both_together_reach_what_the_memory_gives_and_not_the_sum():
    timeline = simulate(PHONE, [
        Task("on cpu", "CPU", transfers={"DRAM": 29.8 * GB}),
        Task("on npu", "NPU", transfers={"DRAM": 29.8 * GB + 56 * GB}),
    ])
    assert spans(timeline) == {"on cpu": (0, 1), "on npu": (0, 2)}
    assert max(rates(timeline)) == pytest.approx(59.6)
    assert timeline.moved("DRAM") == pytest.approx((2 * 29.8 + 56) * GB)


def test_a_task_bound_by_arithmetic_leaves_the_rest_of_the_memory_to_others():
    timeline = simulate(PHONE, [
        Task("compute", "NPU", compute=1.0, transfers={"DRAM": 20 * GB}),
        Task("read", "CPU", transfers={"DRAM": 39.6 * GB}),
    ])
    assert spans(timeline) == {"compute": (0, 1), "read": (0, 1)}


def test_a_task_bound_by_memory_computes_slower():
    timeline = simulate(PHONE, [
        Task("starved", "NPU", compute=1.0, transfers={"DRAM": 2 * 56 * GB}),
    ])
    assert timeline.makespan == pytest.approx(2)


def test_a_launch_takes_the_unit_and_no_bandwidth():
    timeline = simulate(PHONE, [
        Task("late", "NPU", start=1.0, transfers={"DRAM": 29.8 * GB}),
        Task("early", "CPU", transfers={"DRAM": (43.9 + 29.8) * GB}),
    ])
    assert spans(timeline) == {"late": (0, 2), "early": (0, 2)}
    assert simulate(PHONE, [Task("only launched", "CPU", start=3.0)]).makespan == 3.0


def test_a_unit_runs_one_task_at_a_time_the_smallest_priority_first():
    timeline = simulate(PHONE, [
        Task("b", "CPU", compute=1.0, priority=(0,)), Task("a", "CPU", compute=2.0, priority=(0,)),
        Task("urgent", "CPU", compute=1.0, priority=(-1,), after=("first",)),
        Task("first", "NPU", compute=0.5),
    ])
    # "a" has begun when "urgent" becomes ready, and is not interrupted.
    assert spans(timeline) == {
        "a": (0, 2), "first": (0, 0.5), "urgent": (2, 3), "b": (3, 4),
    }
    assert timeline.utilization("CPU") == pytest.approx(1)
    assert timeline.utilization("NPU") == pytest.approx(1 / 8)


def test_one_task_may_move_bytes_on_two_channels_at_once():
    system = System.of(
        [Unit("DMA", Kind.DMA), Unit("CPU", Kind.CPU)],
        [Channel("DRAM", Kind.DRAM, 10 * GB), Channel("flash", Kind.FLASH, 4 * GB)],
    )
    timeline = simulate(system, [
        Task("load", "DMA", transfers={"flash": 4 * GB, "DRAM": 4 * GB}),
        Task("read", "CPU", transfers={"DRAM": 6 * GB}),
    ])
    # The flash holds "load" to 4 of the DRAM's 10 GB/s; "read" has the other 6.
    assert spans(timeline) == {"load": (0, 1), "read": (0, 1)}


def test_energy_by_hand():
    system = System.of(
        [Unit("CPU", Kind.CPU, power=2.0), Unit("NPU", Kind.NPU, power=3.0)],
        [Channel("DRAM", Kind.DRAM, GB, energy=1e-9)], idle=0.5,
    )
    energy = simulate(system, [
        Task("one", "CPU", compute=4.0, joules=7.0),
        Task("two", "NPU", transfers={"DRAM": GB}),
    ]).energy
    assert energy.idle == pytest.approx(2)
    assert energy.units == {"CPU": pytest.approx(8), "NPU": pytest.approx(3)}
    assert energy.channels == {"DRAM": pytest.approx(1)}
    assert energy.total == pytest.approx(2 + 8 + 3 + 1 + 7)


def test_nothing_takes_no_time():
    assert simulate(PHONE, []).makespan == 0
    assert simulate(PHONE, []).utilization("CPU") == 0
    assert simulate(PHONE, []).bandwidth_used("DRAM") == 0
    assert simulate(PHONE, [Task("empty", "CPU")]).makespan == 0


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([Task("x", "TPU")], "x runs on TPU; there are CPU, NPU"),
        ([Task("x", "CPU", transfers={"L2": 1})], "x moves bytes on L2, which is no channel"),
        ([Task("x", "CPU", after=("y",))], "x comes after y, which is no task"),
        ([Task("x", "CPU"), Task("x", "NPU")], "Two tasks have the name x"),
        ([Task("x", "CPU", after=("y",)), Task("y", "NPU", after=("x",)),
          Task("a", "CPU", after=("x",))], "in a circle: x after y after x"),
    ],
)
def test_a_wrong_graph_is_refused_by_name(tasks, message):
    with pytest.raises(EstimateError, match=message):
        simulate(PHONE, tasks)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Task("x", "CPU", compute=-1), "Task x: compute must be finite and not negative"),
        (lambda: Task("x", "CPU", start=float("nan")), "Task x: start must be finite"),
        (lambda: Task("x", "CPU", transfers={"DRAM": float("inf")}), "x: bytes on DRAM must be"),
        (lambda: Unit("DRAM", Kind.DRAM), "DRAM is shared: it is a channel"),
        (lambda: Unit("CPU", Kind.CPU, {"DRAM": 0.0}), "limit on DRAM must be positive"),
        (lambda: Unit("CPU", Kind.CPU, power=-1.0), "power must be finite and not negative"),
        (lambda: Channel("CPU", Kind.CPU, 1.0), "CPU runs tasks: it is a unit"),
        (lambda: Channel("DRAM", Kind.DRAM, 0.0), "bandwidth must be positive and finite"),
        (lambda: System.of([Unit("x", Kind.CPU)] * 2), "Two resources have the name x"),
        (lambda: System.of([Unit("x", Kind.CPU, {"y": 1.0})]), "x has a limit on y"),
        (lambda: System.of([], idle=-1.0), "idle power must be finite"),
    ],
)
def test_a_wrong_number_is_refused_by_name(make, message):
    with pytest.raises(EstimateError, match=message):
        make()
