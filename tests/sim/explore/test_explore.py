"""The search: arrays against the machine, the front by hand and by properties, the LUT fit."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from support.estimates import KV260, LARGE, TLMM, changed, exact, machine
from trilobite.cli import app
from trilobite.errors import EstimateError
from trilobite.sim.energy import step_energy
from trilobite.sim.estimate import estimate
from trilobite.sim.explore import (
    evaluate,
    grid_front,
    load_lut_model,
    make_space,
    pareto_front,
)
from trilobite.sim.workload import step

SPACE = make_space(KV260, TLMM, 40, 1_000)
COSTS = evaluate(SPACE, LARGE, KV260, TLMM, 40, 5)


def test_points_agree_with_the_estimate_of_the_same_design():
    chosen = np.random.default_rng(0).integers(0, SPACE.shape, (12, 5))
    whole = SPACE.chunks.index(40)
    for index in chosen:
        index[3] = whole
        design = SPACE.design(*map(int, index))
        hardware = changed(
            TLMM,
            tlmm={"group_size": exact(design.group_size), "tables": exact(design.tables),
                  "columns": exact(design.columns)},
            clock={"frequency": exact(design.mhz)},
            storage={"weight_buffer": exact(design.weight_buffer),
                     "kv_width": exact(design.kv_bits)},
        )
        result = estimate(LARGE, KV260, hardware, 40, 5)

        def value(array, at=tuple(index)):
            return np.broadcast_to(array, SPACE.shape)[at]

        assert value(COSTS.first_token) == pytest.approx(result.first_token.nominal, rel=1e-12)
        assert value(COSTS.rate) == pytest.approx(result.rate.nominal, rel=1e-12)
        assert value(COSTS.joules) == pytest.approx(result.decode_joules.nominal, rel=1e-12)
        one = machine(hardware=hardware)
        prefill = step(LARGE.config, hardware.layout(LARGE.config, 40), 40)
        watts = max(result.power.nominal, step_energy(one, prefill).total / one.step_time(prefill))
        assert value(COSTS.watts) == pytest.approx(watts, rel=1e-12)


def test_a_prompt_in_chunks_costs_the_steps_without_a_token_in_between():
    hardware = changed(TLMM, tlmm={"group_size": exact(2)}, clock={"frequency": exact(100.0)},
                       storage={"weight_buffer": exact(0)})
    space = dataclasses.replace(
        SPACE, engines=(hardware.tlmm.parameters(),), mhz=(100.0,), urams=(0,), chunks=(16,),
        kv_bits=(8,))
    one, expected = machine(hardware=hardware), 0.0
    for past, tokens in ((0, 16), (16, 16), (32, 8)):
        work = step(LARGE.config, hardware.layout(LARGE.config, tokens), tokens, past)
        used = work.operators if past == 32 else work.operators[:-2]
        expected += sum(op.count * one.time(op).total for op in used)
    found = evaluate(space, LARGE, KV260, TLMM, 40, 5).first_token
    assert found.item() == pytest.approx(expected + one.host_time, rel=1e-12)


def test_the_front_by_hand():
    # (2, 2) is worse than (1, 2) in one, (3, 3) in both; equal points stay together.
    points = np.array([[1, 2], [2, 1], [2, 2], [3, 3], [1, 2], [0, 9]], float)
    assert pareto_front(points).tolist() == [0, 1, 4, 5]
    assert pareto_front(np.zeros((0, 2))).tolist() == []
    with pytest.raises(ValueError, match="finite"):
        pareto_front(np.array([[np.nan, 1.0]]))


def _front_by_definition(points):
    return [
        index for index, one in enumerate(points)
        if not ((points <= one).all(1) & (points < one).any(1)).any()
    ]


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=60))
def test_no_point_of_the_front_is_dominated_and_none_is_missing(rows):
    points = np.array(rows, float)
    assert pareto_front(points).tolist() == _front_by_definition(points)


@given(st.integers(0, 2**32 - 1))
def test_the_front_of_a_grid_is_that_of_its_allowed_points(seed):
    random = np.random.default_rng(seed)
    objectives = [random.integers(0, 4, shape).astype(float)
                  for shape in ((4, 3, 2), (4, 1, 1), (1, 3, 2))]
    allowed = random.random((4, 3, 2)) < 0.7
    where = np.flatnonzero(allowed)
    points = np.stack([np.broadcast_to(one, allowed.shape).ravel()[where] for one in objectives], 1)
    expected = where[_front_by_definition(points)]
    assert grid_front(objectives, allowed).tolist() == expected.tolist()


def test_the_lut_model_is_near_engines_that_it_has_not_seen():
    model = load_lut_model()
    assert max(map(abs, model.fitted)) < 0.02
    assert max(map(abs, model.left_out)) < 0.15
    assert len(model.held_out) == 4 and max(map(abs, model.held_out)) < 0.06
    engine = dataclasses.replace(SPACE.engines[0], group_size=5)
    with pytest.raises(EstimateError, match="groups of 5"):
        model.luts([engine])


def test_the_command_keeps_the_limits():
    arguments = ["explore", "--shape", "bitnet-0.73b", "--points", "20000", "--json", "-"]
    limits = ["--max-power", "6.0", "--max-lut-share", "0.7", "--around-lut", "60000"]
    result = CliRunner().invoke(app, [*arguments, *limits])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["points"] >= 20_000 and found["front"]
    assert all(row["watts"] <= 6.0 and row["lut"] <= 0.7 * 117_120 for row in found["front"])
    none = json.loads(CliRunner().invoke(app, [*arguments, "--max-power", "1"]).stdout)
    assert none["best"] is None and none["within_power"] == 0


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["bitnet-0.73b", "--points", "0"], "--points"),
    (["bitnet-0.73b", "--max-power", "nan"], "--max-power"),
    (["bitnet-0.73b", "--device", "none"], "none"),
    ([], "either MODEL or --shape"),
])
def test_bad_input_is_refused(arguments, sentence):
    result = CliRunner().invoke(app, ["explore", *arguments])
    assert result.exit_code == 2 and sentence in result.output
