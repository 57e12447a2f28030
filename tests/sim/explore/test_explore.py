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
from trilobite.hw import cycles
from trilobite.npu import ArrayParameters, Stationary
from trilobite.npu.array import Array
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.explore import (
    BEST,
    FORMATS,
    Limits,
    Perplexities,
    answer,
    grid_front,
    load_perplexities,
    load_synthesized,
    make_spaces,
    pareto_front,
    search,
    space_costs,
)
from trilobite.sim.explore.around import Around
from trilobite.sim.explore.engines import ARRAY_LATENCY, ArrayEngines, TlmmEngines
from trilobite.sim.explore.prompt_policies import PromptPolicy, prompt_policies
from trilobite.sim.formulas.energy import active_share, step_energy, work_energy
from trilobite.sim.formulas.estimate import estimate
from trilobite.sim.formulas.workload import step

AROUND = Around(lanes=4, queries=4, lut=100_000, dsp=500, tables=32, columns=32)
HALF = Around(lanes=2, queries=2, lut=60_000, dsp=300, tables=16, columns=16)
SPACE, ARRAYS = make_spaces([KV260], TLMM, [AROUND], 40, 24, 30_000)
NO_LIMITS = Limits()
COSTS = space_costs(SPACE, LARGE, TLMM, 40, 5)


def test_points_agree_with_the_estimate_of_the_same_design():
    chosen = np.random.default_rng(0).integers(0, SPACE.shape, (12, 5))
    whole = [policy.name for policy in SPACE.policies].index("whole")
    for index in chosen:
        index[3] = whole
        design = SPACE.design(*map(int, index))
        hardware = changed(
            TLMM,
            tlmm={name: exact(size) for name, size in design.engine.items()},
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
        assert value(COSTS.pause) == pytest.approx(
            result.first_token.nominal - one.host_time + 1 / result.rate.nominal, rel=1e-12)


def test_a_prompt_in_chunks_costs_the_steps_without_a_token_in_between():
    hardware = changed(TLMM, tlmm={"group_size": exact(2)}, clock={"frequency": exact(100.0)},
                       storage={"weight_buffer": exact(0)})
    space = dataclasses.replace(
        SPACE, engines=TlmmEngines([hardware.tlmm.parameters()]), mhz=(100.0,), urams=(0,),
        policies=(PromptPolicy(16, 1, 40),), kv_bits=(8,))
    one, steps = machine(hardware=hardware), []
    for past, tokens in ((0, 16), (16, 16), (32, 8)):
        work = step(LARGE.config, hardware.layout(LARGE.config, tokens), tokens, past)
        used = work.operators if past == 32 else work.operators[:-2]
        steps.append(sum(op.count * one.time(op).total for op in used))
    found = space_costs(space, LARGE, TLMM, 40, 5)
    assert found.first_token.item() == pytest.approx(sum(steps) + one.host_time, rel=1e-12)
    assert found.pause.item() == pytest.approx(max(steps) + 1 / found.rate.item(), rel=1e-12)


def test_layers_in_groups_cost_the_same_and_keep_others_waiting_for_one_group():
    space = dataclasses.replace(SPACE, policies=(PromptPolicy(40, 1, 40), PromptPolicy(40, 8, 40)))
    costs = space_costs(space, LARGE, TLMM, 40, 5)
    whole, layered = (costs.first_token[..., place, :] for place in (0, 1))
    assert np.array_equal(whole, layered)
    pauses = costs.pause - 1 / costs.rate
    ratio = pauses[..., 1, :] / pauses[..., 0, :]
    assert (ratio > 1 / 8).all() and (ratio < 0.25).all()   # the LM head is the last group's


def test_cycles_of_engines_are_those_of_one_engine():
    lookup = SPACE.engines
    for index in (0, len(lookup) - 1):
        for M, K, N in ((1536, 1536, 1), (4096, 1536, 5), (7, 1000, 2)):
            assert lookup.cycles(M, K, N)[index].item() == cycles(
                lookup.one_by_one[index], K, M, N)
    shape = ArrayParameters(Stationary.WEIGHT, 4, 8, 64)
    assert Array.latency == ARRAY_LATENCY
    one = ArrayEngines([shape])
    # 3 tiles; jobs of 64 and of 6 tokens, one cycle each to be taken.
    jobs = shape.busy_cycles(2, 64) + shape.busy_cycles(2, 6) + 2
    assert one.cycles(12, 256, 70).item() == 3 * jobs + Array.latency
    assert one.cycles(4, 128, 1).item() == shape.busy_cycles(1, 1) + Array.latency + 1
    # 130 columns are two groups of 128 codes and a scale; 5 rows are two tiles of 4.
    assert one.matrix_bytes(5, 130).item() == 8 * 2 * (64 + 1)
    assert (one.readings(64), one.readings(65), lookup.readings(3)) == (1, 2, 3)


def test_wider_weights_cost_bytes_and_energy_by_the_formulas():
    costs = space_costs(ARRAYS, LARGE, TLMM, 40, 5)
    shape = ARRAYS.engines.one_by_one[-1]
    whole = [policy.name for policy in ARRAYS.policies].index("whole")
    at = (len(ARRAYS.engines) - 1, len(ARRAYS.mhz) - 1, len(ARRAYS.urams) - 1, whole, 0)
    hardware = changed(TLMM, storage={"weight_buffer": exact(ARRAYS.urams[-1] * 36_864)})
    one, seconds, working = machine(hardware=hardware), 0.0, 0.0
    for past in range(40, 44):
        for op in step(LARGE.config, hardware.layout(LARGE.config, 1), 1, past).operators:
            taken, dram = one.time(op).total, op.traffic.total
            if op.unit == "tlmm":
                M, K = op.shape
                dram = M * K * 65 // 128
                busy = ArrayEngines([shape]).cycles(M, K, 1).item()
                taken = 256 / 250e6 + max(busy / 250e6, dram / one.bandwidth)
            seconds += op.count * taken
            working += op.count * work_energy(one, 0.0, dram, 0, op.macs, op.operations).working
        seconds += one.host_time
    joules = (seconds * work_energy(one, 1.0, 0, 0).standing + working) / 4
    assert np.broadcast_to(costs.rate, ARRAYS.shape)[at] == pytest.approx(4 / seconds, rel=1e-12)
    assert np.broadcast_to(costs.joules, ARRAYS.shape)[at] == pytest.approx(joules, rel=1e-12)


def test_only_engines_that_can_be_built_are_there():
    spaces = make_spaces([KV260], TLMM, [AROUND, HALF], 128, 24, 500_000)
    assert [(one.around, one.engines.format) for one in spaces] == [
        (around, form) for around in (AROUND, HALF) for form in FORMATS]
    for space in spaces:
        for engine in space.engines.one_by_one:
            assert space.engines.fits(engine, space.around)
    assert max(one.columns for one in spaces[2].engines.one_by_one) == 16
    assert not TlmmEngines.fits(
        dataclasses.replace(SPACE.engines.one_by_one[-1], columns=30), AROUND)
    assert not ArrayEngines.fits(ArrayParameters(Stationary.WEIGHT, 6, 8, 64), AROUND)


def test_fewer_lanes_around_an_engine_take_longer():
    full, half = AROUND.hardware(TLMM), HALF.hardware(TLMM)
    assert full == TLMM
    assert [half.vector.lanes.count, half.integer.lanes.count, half.integer.query_rows.count] == [
        TLMM.vector.lanes.count // 2, TLMM.integer.lanes.count // 2,
        TLMM.integer.query_rows.count // 2]
    less = space_costs(dataclasses.replace(SPACE, around=HALF), LARGE, TLMM, 40, 5)
    assert (less.first_token > COSTS.first_token).all() and (less.rate < COSTS.rate).all()


def test_policies_of_a_prompt():
    assert [one.name for one in prompt_policies(40, 24)] == [
        "chunked-16", "chunked-32", "whole", "layered-8"]
    assert [one.name for one in prompt_policies(8, 1)] == ["whole"]


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


def test_the_fits_are_near_engines_that_they_have_not_seen():
    synthesized = load_synthesized()
    lookup = synthesized.fits["ternary", "lut"]
    assert max(map(abs, lookup.fitted)) < 0.02
    assert max(map(abs, lookup.left_out)) < 0.15
    assert len(lookup.held_out) == 4 and max(map(abs, lookup.held_out)) < 0.06
    arrays = synthesized.fits["int4-fp8", "lut"]
    assert max(map(abs, arrays.fitted)) < 0.03 and max(map(abs, arrays.held_out)) < 0.06
    # A product is a DSP, a row's total four: exactly.
    dsp = synthesized.fits["int4-fp8", "dsp"].amounts(ARRAYS.engines.one_by_one)
    assert np.round(dsp).tolist() == [
        one.rows * one.lanes + 4 * one.rows for one in ARRAYS.engines.one_by_one]
    engine = dataclasses.replace(SPACE.engines.one_by_one[0], group_size=5)
    with pytest.raises(EstimateError, match="groups of 5"):
        lookup.amounts([engine])


def test_perplexities_are_the_runtimes_and_complete(tmp_path):
    measured = load_perplexities()
    assert set(measured) == {"demo-bitnet", "demo-llama"}
    for one in measured.values():
        assert set(one.values) == {(form, bits) for form in FORMATS for bits in (8, 4)}
        assert one.tokens > 80_000
        for form in FORMATS:
            assert one.of(form, 8) < one.of(form, 4)
    with pytest.raises(EstimateError, match="demo-llama in ternary .* of 3 bits"):
        measured["demo-llama"].of("ternary", 3)
    broken = tmp_path / "broken.toml"
    for text in ("", "[[model]]\nname = 'x'\n", "[[model]]\nname = 'x'\ntokens = 1\nrows = "
                 "[{format = 'ternary', cache = 'int8', perplexity = 0.5}]"):
        broken.write_text(text)
        with pytest.raises(EstimateError, match="broken.toml"):
            load_perplexities(broken)


def _search(limits=NO_LIMITS, devices=(KV260,), points=8_000):
    perplexities = Perplexities("a model", 1, {
        ("ternary", 8): 9.0, ("ternary", 4): 9.5, ("int4-fp8", 8): 7.0, ("int4-fp8", 4): 7.5})
    spaces = make_spaces(devices, TLMM, [AROUND, HALF], 40, 24, points)
    synthesized = load_synthesized()
    result = search(spaces, LARGE, TLMM, synthesized, perplexities, 40, 5, limits)
    return spaces, perplexities, result


def test_the_search_joins_the_fronts_of_all_spaces():
    _, _, result = _search()
    formats = {one.design.format for one in result.front}
    assert formats == set(FORMATS)   # slower and larger, but of lower perplexity
    values = np.array([[one.perplexity, one.first_token, -one.tokens_per_second,
                        one.joules_per_token, one.lut] for one in result.front])
    assert len(pareto_front(values)) == len(values)
    assert len({tuple(row) for row in values.tolist()}) == len(values)
    assert result.counts["points"] >= 8_000 and result.counts["within_power"] == (
        result.counts["points"])
    assert {one.design.policy for one in result.front}.isdisjoint({"whole"})   # layered waits less
    for what, (name, more) in BEST.items():
        figures = [getattr(one, name) for one in result.front]
        assert getattr(result.best(what), name) == (max if more else min)(figures)


def test_limits_are_kept_and_the_answer_says_so():
    limits = Limits(watts=6.0, lut_share=0.7, pause=2.0)
    spaces, perplexities, result = _search(limits)
    assert result.front
    for one in result.front:
        assert one.watts <= 6.0 and one.lut_share <= 0.7 and one.pause <= 2.0
        assert one.design.lanes == 2 and one.dsp <= 1_248
    said = answer(result, limits, "energy", "BitNet", ["KV260"], perplexities)
    assert said.startswith("The least energy per token under 6 W and pausing others for at most 2 "
                           "s and within 70 % of the LUT of KV260 for BitNet: ")
    assert "(measured with a model)" in said
    total = sum(space.size for space in spaces)
    assert result.counts["points"] == total
    _, _, nothing = _search(Limits(watts=1.0))
    assert not nothing.front and nothing.best("rate") is None
    assert answer(nothing, Limits(watts=1.0), "rate", "BitNet", ["KV260"], perplexities).startswith(
        "No design under 1 W and within 85 % of the LUT of KV260 for BitNet: of ")


def test_a_larger_device_takes_designs_that_another_one_does_not():
    both = _search(Limits(lut_share=0.45), [KV260, load_device("zcu104")])[2]
    assert {one.design.device for one in both.front} == {"ZCU104"}


def test_the_command_keeps_the_limits(tmp_path):
    report = tmp_path / "front.html"
    arguments = ["explore", "--shape", "bitnet-0.73b", "--points", "20000", "--json", "-"]
    limits = ["--max-power", "6.0", "--max-lut-share", "0.96", "-o", str(report)]
    result = CliRunner().invoke(app, [*arguments, *limits])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["points"] >= 20_000 and found["front"] and found["checked"] == []
    assert all(row["watts"] <= 6.0 and row["lut"] <= 0.96 * 117_120 for row in found["front"])
    assert found["answer"] in " ".join(result.stderr.split())
    assert found["perplexity_model"] == "demo-bitnet"
    assert found["answer"] in report.read_text()
    none = json.loads(CliRunner().invoke(app, [*arguments, "--max-power", "1"]).stdout)
    assert none["best"] is None and none["within_power"] == 0


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["bitnet-0.73b", "--points", "0"], "--points"),
    (["bitnet-0.73b", "--points", "4000000"], "are more than"),
    (["bitnet-0.73b", "--max-power", "nan"], "--max-power"),
    (["bitnet-0.73b", "--device", "none"], "none"),
    (["bitnet-0.73b", "--format", "int3"], "ternary, int4-fp8"),
    (["bitnet-0.73b", "--best", "luck"], "--best"),
    (["bitnet-0.73b", "--check", "-1"], "--check"),
    (["bitnet-0.73b", "--perplexities", "nowhere.toml"], "nowhere.toml"),
    (["bitnet-0.73b", "--points", "5000", "--check", "1", "--workers", "0"], "--workers"),
    (["bitnet-0.73b", "--points", "5000", "--check", "1", "--cluster", "moon"], "--cluster"),
    ([], "either MODEL or --shape"),
])
def test_bad_input_is_refused(arguments, sentence):
    result = CliRunner().invoke(app, ["explore", *arguments])
    assert result.exit_code == 2 and sentence in result.output


def test_designs_that_are_alike_are_one():
    """No two of the front are within 5 % in everything, and the best in anything stays."""
    _, _, result = _search(points=40_000)
    values = np.array([[one.perplexity, one.first_token, one.tokens_per_second,
                        one.joules_per_token, one.lut] for one in result.front])
    for position, row in enumerate(values):
        others = np.delete(values, position, axis=0)
        assert (np.abs(others / row - 1).max(axis=1) > 0.05 / 1.05).all()


def test_power_grows_with_the_clock_and_with_the_design():
    lut = np.full((len(SPACE.engines), 1, 1, 1, 1), 42_271.0)
    small = space_costs(SPACE, LARGE, TLMM, 40, 5, lut)
    large = space_costs(SPACE, LARGE, TLMM, 40, 5, 2 * lut)
    assert (large.watts > small.watts).all() and (large.joules > small.joules).all()
    slow, fast = small.watts[:, 0], small.watts[:, -1]
    assert SPACE.mhz[0] < SPACE.mhz[-1] and (slow < fast).all()
    assert active_share(KV260.power, 250.0, 42_271) == pytest.approx(1)
    assert active_share(load_device("ecp5-85f").power, 50.0, 1) == 1   # not said of which design
