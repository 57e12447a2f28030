"""Steps of a whole model by operator, and the steps of a generation."""

from dataclasses import replace

import numpy as np
import pytest

from trilobite.errors import TrilobiteError
from trilobite.fpga.events import COUNTERS
from trilobite.fpga.planner import plan_program
from trilobite.sim.cycle_model.predict import predict_step, trace_step
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.predictions import store
from trilobite.sim.predictions.accelerator_constants import rtl_accelerator
from trilobite.sim.predictions.extrapolation import total, whole_step
from trilobite.sim.predictions.generation import (
    curve_places,
    decode_places,
    memory_timing,
    predict_generations,
    prefill_steps,
)
from trilobite.sim.predictions.operator_rows import OperatorRows
from trilobite.sim.verify.cycles.cases import HARDWARE, MODELS

DEVICE = load_device("kv260")
SMALL = HARDWARE["small"].parameters
KV260 = rtl_accelerator(load_accelerator("kv260"))
OPERATIONS = {"embed_cycles": ("embedding",), "head_cycles": ("lm_head",),
              "attend_cycles": ("attention",)}


@pytest.fixture(scope="module")
def compiled():
    """The cycle model, from the cache of all."""
    trace_step(plan_program(MODELS["bitnet-96"], SMALL, 10), DdrTiming(), 1, 0)


@pytest.fixture(autouse=True)
def own_cache(compiled, tmp_path, monkeypatch):
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path))
    whole_step.cache_clear()


def column(counts, name):
    return counts[:, list(COUNTERS).index(name)]


def operator_rows(config):
    return OperatorRows.of(plan_program(config, SMALL, 10))


def test_the_operators_of_a_program_are_those_of_a_layer_and_what_is_around_them():
    config = MODELS["bitnet-96"]
    program = plan_program(config, SMALL, 10)
    rows = OperatorRows.of(program)
    assert rows.names[:rows.before] == ("embedding",)
    assert rows.names[rows.layer.stop:] == ("final_norm", "lm_head")
    assert rows.names[rows.layer][rows.late:] == ("ffn_sub_norm", "down_proj")
    numbers = np.arange(2 * len(program.descriptors)).reshape(-1, 2)
    before, inside, after = rows.split(program, numbers)
    assert np.array_equal(before, numbers[:1])
    assert inside.shape == (config.num_layers, len(rows.names[rows.layer]), 2)
    assert np.array_equal(inside.reshape(-1, 2), numbers[1:-3])
    assert np.array_equal(after, [numbers[-3], numbers[-2] + numbers[-1]])


def test_the_counters_are_noted_at_every_descriptor():
    program = plan_program(MODELS["bitnet-96"], SMALL, 130)
    notes = trace_step(program, DdrTiming(), 8, 40)
    assert notes.shape == (len(program.descriptors) + 1, len(COUNTERS))
    assert (np.diff(notes, axis=0) >= 0).all()
    assert dict(zip(COUNTERS, notes[-1].tolist(), strict=True)) == predict_step(
        program, DdrTiming(), 8, 40)


@pytest.mark.parametrize("step", [(1, 120, True), (16, 0, True), (8, 40, False)])
def test_a_whole_model_is_extrapolated_from_two_layers_and_a_few_rows(step):
    """Six layers and 5,000 rows, of which two or three and 2,048 are predicted."""
    config = replace(MODELS["llama-256"], num_layers=6, vocab_size=5000)
    parameters = replace(SMALL, max_vocabulary=8192)
    whole = predict_step(plan_program(config, parameters, 130), DdrTiming(), *step)
    counts = whole_step(config, parameters, DdrTiming(), 130, *step)
    names = OperatorRows.of(plan_program(config, parameters, 130)).names
    assert counts.shape == (len(names), len(COUNTERS))
    assert total(counts) == pytest.approx(whole["cycles"], rel=2e-3)
    for name in ("read_words", "write_words", "weight_beats", "attention_words", "head_words"):
        assert total(counts, name) == pytest.approx(whole[name], rel=2e-3), name


def test_a_small_model_is_predicted_whole():
    config = MODELS["bitnet-96"]
    whole = predict_step(plan_program(config, SMALL, 130), DdrTiming(), 1, 50)
    counts = whole_step(config, SMALL, DdrTiming(), 130, 1, 50, True)
    assert {name: total(counts, name) for name in COUNTERS} == whole


def test_cycles_are_those_of_the_operators_that_are_done():
    """What an operator has beyond its operation is the wait for the next descriptor."""
    config = MODELS["bitnet-96"]
    counts = whole_step(config, SMALL, DdrTiming(), 130, 9, 30, True)
    names = operator_rows(config).names
    for counter, operators in OPERATIONS.items():
        busy = column(counts, counter)
        assert {names[place] for place in np.flatnonzero(busy)} == set(operators)
        assert (busy <= column(counts, "cycles")).all()
    assert names[0] == "embedding" and names[-2:] == ("final_norm", "lm_head")


def test_a_step_that_chooses_no_token_has_no_head():
    counts = whole_step(MODELS["bitnet-96"], SMALL, DdrTiming(), 130, 8, 0, False)
    assert not counts[-2:].any()


def test_predictions_are_kept_by_content(monkeypatch):
    program = plan_program(MODELS["bitnet-96"], SMALL, 130)
    first = store.stored_trace(program, DdrTiming(), 1, 5, True)
    monkeypatch.setattr(store, "trace_step", lambda *step: pytest.fail(f"predicted anew: {step}"))
    assert np.array_equal(store.stored_trace(program, DdrTiming(), 1, 5, True), first)
    others = (
        (program, DdrTiming(latency=99), 1, 5, True), (program, DdrTiming(), 2, 5, True),
        (program, DdrTiming(), 1, 6, True), (program, DdrTiming(), 1, 5, False),
        (plan_program(MODELS["bitnet-96"], SMALL, 131), DdrTiming(), 1, 5, True),
    )
    for step in others:
        with pytest.raises(pytest.fail.Exception, match="predicted anew"):
            store.stored_trace(*step)
    monkeypatch.setattr(store, "_model", lambda: "another model")
    with pytest.raises(pytest.fail.Exception, match="predicted anew"):
        store.stored_trace(program, DdrTiming(), 1, 5, True)


def test_steps_of_a_long_prompt_lie_on_lines_between_predicted_ones():
    """Seven whole steps and a last one; 3 of the whole ones and the last are predicted."""
    parameters = replace(SMALL, max_tokens=16, max_context=512)
    config, prompt = MODELS["bitnet-96"], 7 * 16 + 5
    timing = DdrTiming()
    generation = predict_generations(config, parameters, [timing], prompt, [prompt])[timing]
    steps = prefill_steps(generation, prompt, 16)
    assert [(step.tokens, step.position) for step in steps] == [
        *((16, 16 * number) for number in range(7)), (5, 112)]
    for step in steps:
        exact = whole_step(config, parameters, timing, 512, step.tokens, step.position,
                           step is steps[-1])
        assert total(step.counts) == pytest.approx(total(exact), rel=0.01)
        if step.position in (0, 48, 96, 112):
            assert np.array_equal(step.counts, exact)
    assert total(generation.prefill) == pytest.approx(sum(total(one.counts) for one in steps))


def test_decode_rates_lie_on_lines_between_their_places():
    """What a step costs is close to a line between the places of the curve, here at two more.

    A tile of keys is a larger part of this model's steps than of any that one would run.
    """
    config, timing = MODELS["bitnet-128"], DdrTiming()
    places = curve_places(383)
    generation = predict_generations(config, SMALL, [timing], 4, places)[timing]
    cycles = [total(generation.decode[place]) for place in places]
    for between in (70, 300):
        exact = total(whole_step(config, SMALL, timing, config.max_position_embeddings,
                                 1, between, True))
        assert np.interp(between, places, cycles) == pytest.approx(exact, rel=0.02)


def test_places_are_where_they_are_said_to_be():
    assert decode_places(128, 128) == [128, 191, 254]
    assert decode_places(10, 2) == [10]
    assert curve_places(2047) == [0, 63, 127, 255, 511, 1023, 2047]
    assert curve_places(1) == [0, 1]


def test_the_memory_gives_what_the_board_sustains():
    def at(low, nominal):
        frequency = replace(KV260.clock.frequency, low=low, nominal=nominal, high=nominal)
        return replace(KV260, clock=replace(KV260.clock, frequency=frequency))

    assert memory_timing(DEVICE, at(200, 250), Corner.NOMINAL) == DdrTiming(latency=62)   # 2: ports
    slow = memory_timing(DEVICE, at(200, 250), Corner.WORST)
    assert (slow.latency, slow.words, slow.per_cycles) == (50, 1, 1)
    half = memory_timing(DEVICE, at(500, 500), Corner.NOMINAL)
    assert (half.latency, half.words, half.per_cycles) == (122, 1, 2)


def test_what_cannot_be_run_is_refused():
    with pytest.raises(TrilobiteError, match="hidden_size is 2560, and at most 768 fit"):
        predict_generations(load_shape("bitnet-2b").config, SMALL, [DdrTiming()], 20, [20])
