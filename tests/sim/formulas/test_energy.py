"""Joules, by hand, and against what was measured on the board."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.estimates import KV260, LARGE, TLMM, TWO_BILLION, machine
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.formulas.energy import PARTS, Energy, step_energy, work_energy
from trilobite.sim.formulas.published import compare, replay
from trilobite.sim.formulas.workload import step

MACHINES = {corner: machine(corner=corner) for corner in Corner}
PUBLISHED = {published.name: published for published in KV260.published}
COUNTS = st.floats(0, 1e12)


def test_ten_milliseconds_by_hand():
    # 3.54 W and 40 URAM at 6.85 mW; 1.3 W; 1 MB at 15 pJ/bit; 2, 6 and 20 pJ per operation.
    joules = work_energy(machine(), 0.01, 1e6, ternary_macs=1e9, int8_macs=1e8, operations=1e6)
    assert joules.static == pytest.approx(38.14e-3)
    assert joules.active == pytest.approx(13e-3)
    assert joules.dram == pytest.approx(0.12e-3)
    assert joules.compute == pytest.approx(2e-3 + 0.6e-3 + 0.02e-3)
    assert joules.standing == pytest.approx(51.14e-3)
    assert joules.total == pytest.approx(53.88e-3)


@given(st.floats(0, 10), COUNTS, COUNTS, COUNTS, COUNTS)
def test_parts_are_positive_ordered_and_add_up(seconds, size, ternary, int8, operations):
    best, nominal, worst = (
        work_energy(one, seconds, size, ternary, int8, operations) for one in MACHINES.values()
    )
    for part in PARTS:
        assert 0 <= getattr(best, part) <= getattr(nominal, part) <= getattr(worst, part)
    assert nominal.total == pytest.approx(sum(dataclasses.astuple(nominal)))


def test_energies_add_and_scale_part_by_part():
    doubled = Energy(1, 2, 3, 4) + Energy(1, 2, 3, 4)
    assert doubled == Energy(1, 2, 3, 4).scaled(2) == Energy(2, 4, 6, 8)


def test_a_step_costs_its_time_and_its_work():
    config = LARGE.config
    workload = step(config, TLMM.layout(config, 1), 1, 127)
    nominal = machine()
    joules = step_energy(nominal, workload)
    assert joules.static == pytest.approx(3.814 * nominal.step_time(workload))
    assert joules.dram == pytest.approx(workload.bytes() * 8 * 15e-12)


@pytest.mark.parametrize(("name", "band"), [("bitnet-kv260", 0.02), ("TeLLMe v2", 0.25)])
def test_the_power_model_at_published_operating_points(name, band):
    # bitnet-kv260's 6.21 W is what `active` was derived from, so it must come back; TeLLMe v2's
    # 4.8 W is independent, and its scope is not stated: within 25 %.
    published = PUBLISHED[name]
    watts = replay(machine(), published).total * published.tokens_per_second.nominal
    assert watts == pytest.approx(published.power.nominal, rel=band)


def test_published_power_lies_inside_our_range():
    for shape in (LARGE, TWO_BILLION):
        for comparison in compare(MACHINES, shape):
            if comparison.power is not None:
                measured = comparison.published.power.nominal
                assert comparison.power.low <= measured <= comparison.power.high


def test_a_model_is_compared_with_designs_for_it():
    assert [one.published.name for one in compare(MACHINES, LARGE)] == ["TeLLMe v2", "PD-Swap"]
    assert [one.published.name for one in compare(MACHINES, TWO_BILLION)] == ["bitnet-kv260"]
    longer = dataclasses.replace(LARGE.config, num_layers=25)
    assert compare(MACHINES, dataclasses.replace(LARGE, config=longer)) == ()


def test_a_design_of_unknown_traffic_cannot_be_replayed():
    with pytest.raises(ValueError, match="The traffic of PD-Swap is not known"):
        replay(machine(), PUBLISHED["PD-Swap"])
