"""A step as a timeline: the same seconds, bytes and joules as the formulas give."""

import dataclasses

import pytest

from support.estimates import KV260, LARGE, TLMM, machine, small_config
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.formulas.energy import step_energy
from trilobite.sim.formulas.estimate import estimate
from trilobite.sim.formulas.phases import step_timeline
from trilobite.sim.formulas.workload import step

WINDOWED = small_config(num_layers=4, sliding_windows=(None, 8, None, 8))


@pytest.mark.parametrize("corner", list(Corner))
@pytest.mark.parametrize(("tokens", "past"), [(1, 127), (128, 0)])
@pytest.mark.parametrize(
    "config", [LARGE.config, WINDOWED, small_config(num_layers=1)],
    ids=["large", "windowed", "one layer"],
)
def test_the_timeline_agrees_with_the_formulas(config, tokens, past, corner):
    if config is not LARGE.config:
        tokens, past = min(tokens, 16), min(past, 40)
    one = machine(corner=corner)
    workload = step(config, TLMM.layout(config, tokens), tokens, past)
    timeline = step_timeline(one, config, workload)
    runs = sum(operator.count for operator in workload.operators)
    assert len(timeline.spans) == runs + 1
    assert timeline.makespan == pytest.approx(one.step_time(workload), rel=1e-9)
    assert timeline.moved("DRAM") == pytest.approx(one.step_bytes(workload), rel=1e-9)
    joules = step_energy(one, workload)
    assert timeline.energy.total == pytest.approx(joules.total, rel=1e-9)
    assert sum(timeline.energy.channels.values()) == pytest.approx(joules.dram)
    assert timeline.energy.tasks == pytest.approx(joules.compute)


def test_layers_follow_each_other_and_each_has_its_own_window():
    one = machine()
    timeline = step_timeline(one, WINDOWED, step(WINDOWED, TLMM.layout(WINDOWED, 1), 1, 30))
    labels = [span.task.label for span in sorted(timeline.spans, key=lambda span: span.start)]
    scores = [label for label in labels if "attention_scores" in label]
    assert scores == [
        "layer 0 attention_scores", "layer 1 attention_scores_8",
        "layer 2 attention_scores", "layer 3 attention_scores_8",
    ]
    assert labels[0] == "embedding"
    assert labels[-2] == "lm_head"


def test_the_phases_of_an_estimate_are_those_of_its_report():
    result = estimate(LARGE, KV260, TLMM, 64, 32)
    timelines = result.timelines()
    assert timelines["prefill"].makespan == pytest.approx(result.prefill.time.nominal)
    assert timelines["decode"].makespan == pytest.approx(result.decode.time.nominal)
    assert timelines["decode"].energy.total == pytest.approx(result.decode.joules.nominal)


def test_twice_the_memory_is_never_slower():
    one = machine()
    dram = KV260.dram
    doubled = dataclasses.replace(KV260, dram=dataclasses.replace(
        dram, **{name: dataclasses.replace(
            getattr(dram, name), low=2 * getattr(dram, name).low,
            nominal=2 * getattr(dram, name).nominal, high=2 * getattr(dram, name).high,
        ) for name in ("peak", "sustained")},
    ))
    workload = step(LARGE.config, TLMM.layout(LARGE.config, 1), 1, 100)
    before = step_timeline(one, LARGE.config, workload)
    after = step_timeline(machine(doubled), LARGE.config, workload)
    assert after.makespan < before.makespan
    assert all(after.busy(unit) <= before.busy(unit) for unit in before.system.units)
