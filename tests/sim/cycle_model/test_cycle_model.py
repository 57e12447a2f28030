"""Cycles predicted from descriptors, beside those that RTL simulation counted."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilobite.errors import EstimateError, TrilobiteError
from trilobite.fpga.events import COUNTERS
from trilobite.fpga.planner import plan_program
from trilobite.sim.cycle_model.predict import predict_step
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.predictions.prediction import ERRORS
from trilobite.sim.verify.cycles.cases import CAPACITY, HARDWARE, MODELS, STEPS
from trilobite.sim.verify.cycles.compare import (
    CYCLES,
    MEASURED,
    check_counts,
    check_full_size,
    compare_cases,
    compare_full_size,
)
from trilobite.sim.verify.cycles.measure import measure

WORST, MEAN = 0.05, 0.02
REFRESH = 88   # cycles, of accelerator ``small``
LEAST = 30
EXACT = ("read_words", "write_words", "weight_beats", "table_passes", "attention_words",
         "head_words", "tokens")


@pytest.fixture(scope="module")
def comparisons():
    return compare_cases()


@pytest.fixture(scope="module")
def full_size():
    return list(compare_full_size())


@pytest.mark.parametrize("name", HARDWARE)
def test_the_counts_are_of_the_hardware_as_it_is(name):
    """If not, the error says how to count again. ``test_the_hardware_as_it_is_now`` sees more."""
    check_counts(name)


def test_the_full_size_counts_are_of_the_hardware_as_it_is():
    check_full_size()


def test_counts_of_other_hardware_are_refused(monkeypatch):
    monkeypatch.setattr("trilobite.sim.cycle_model.constants.READER_BURSTS", 99)
    with pytest.raises(EstimateError, match=r"data_bursts was \d+ and is 99, .*measure small"):
        check_counts("small")
    with pytest.raises(EstimateError, match=r"full_size.json: .* is 99, .*verify shape"):
        check_full_size()


def test_there_are_enough_cases_and_enough_of_them_are_held_out(comparisons, full_size):
    everything = [*comparisons, *full_size]
    assert len(everything) >= LEAST
    assert sum(comparison.held_out for comparison in everything) >= 10
    assert all(set(comparison.counted) == {"started", *COUNTERS} for comparison in comparisons)


@pytest.mark.parametrize("held_out", [False, True])
def test_cycles_are_predicted_whole_and_by_operation(comparisons, held_out):
    """A refresh of 88 cycles falls into one operation or the next: that much may be elsewhere."""
    chosen = [comparison for comparison in comparisons if comparison.held_out == held_out]
    errors = [abs(comparison.error(counter)) for comparison in chosen for counter in CYCLES]
    whole = [abs(comparison.error()) for comparison in chosen]
    for comparison in chosen:
        for counter in CYCLES:
            wrong = abs(comparison.predicted[counter] - comparison.counted[counter])
            assert wrong <= max(WORST * comparison.counted[counter], REFRESH), comparison.what
    if chosen:
        assert max(whole) <= WORST
        assert max(sum(found) / len(found) for found in (errors, whole)) <= MEAN


def test_what_is_moved_and_multiplied_is_predicted_exactly(comparisons):
    for comparison in comparisons:
        for name in EXACT:
            assert comparison.predicted[name] == comparison.counted[name], comparison.what


def test_full_size_shapes_are_predicted(full_size):
    """The embedding of one token, 0.1 % of a step, waits for the port behind bursts of weights: one
    burst more or less, which a cycle can decide, is 2 % of it.
    """
    for comparison in full_size:
        for counter in (counter for counter in CYCLES if counter in comparison.counted):
            wrong = abs(comparison.predicted[counter] - comparison.counted[counter])
            assert (wrong <= 0.02 * comparison.counted[counter]
                    or wrong <= 1e-4 * comparison.counted["cycles"]), (comparison.what, counter)
        assert abs(comparison.error()) <= 0.001, comparison.what


def test_reports_say_how_far_the_model_is(comparisons, full_size):
    for (what, bound), compared in zip(ERRORS.items(), (comparisons, full_size), strict=True):
        assert f"{len(compared)} " in what
        assert max(abs(comparison.error()) for comparison in compared) <= bound


def _predict(timing, hardware="small", model="bitnet-96", **step):
    program = plan_program(MODELS[model], HARDWARE[hardware].parameters, CAPACITY)
    return predict_step(program, timing, **{"tokens": 1, "position": 3, **step})


def test_the_counters_add_up():
    counts = _predict(DdrTiming(), tokens=9)
    busy = sum(counts[name] for name in CYCLES[1:])
    operations = 1 + 3 * 11 + 2
    # Between operations the sequencer takes a descriptor; now and then it waits for one.
    assert operations <= counts["cycles"] - busy < 150 * operations
    assert counts["weight_beats"] + counts["engine_waits"] >= counts["matmul_cycles"]
    assert counts["read_words"] + counts["write_words"] <= counts["cycles"]


@settings(max_examples=15, deadline=None)
@given(latency=st.integers(2, 200), more=st.integers(1, 200), words=st.integers(1, 3),
       tokens=st.integers(1, 6), position=st.integers(0, 90))
def test_a_slower_memory_never_makes_a_step_much_faster(latency, more, words, tokens, position):
    """Not "never faster": turns of the port fall differently, by some cycles either way."""
    step = {"tokens": tokens, "position": position}
    fast = _predict(DdrTiming(latency, words=words, per_cycles=3), **step)
    for slow in (DdrTiming(latency + more, words=words, per_cycles=3),
                 DdrTiming(latency, words=words, per_cycles=4),
                 DdrTiming(latency, words=words, per_cycles=3, refresh_interval=500,
                           refresh_cycles=50)):
        counts = _predict(slow, **step)
        assert counts["cycles"] >= 0.99 * fast["cycles"]
        assert all(counts[name] == fast[name] for name in EXACT)
        assert all(0 <= counts[name] <= counts["cycles"] for name in counts)


def test_rows_that_would_meet_in_the_reciprocal_wait():
    """Softmax rows of 8 tokens, one after the other, would end 8 cycles apart."""
    program = plan_program(MODELS["bitnet-96"], HARDWARE["small"].parameters, CAPACITY)
    shared, own = (predict_step(program, DdrTiming(), 1, 40, differs={"reciprocal_period": period})
                   for period in (8, 0))
    assert shared["attend_cycles"] > own["attend_cycles"]
    assert all(shared[name] == own[name] for name in EXACT)


def test_a_gate_of_one_pipeline_holds_up_a_short_reduction():
    """Hidden size 96 is 4 passes: as many cycles for 8 rows as a pipeline takes for 8 products."""
    program = plan_program(MODELS["bitnet-96"], HARDWARE["small"].parameters, CAPACITY)
    one, each = (predict_step(program, DdrTiming(), 16, 0, differs={"gate_elements": elements})
                 for elements in (4, 1))
    assert one["matmul_cycles"] > 1.03 * each["matmul_cycles"]
    assert all(one[name] == each[name] for name in EXACT)


def test_a_step_without_a_token_leaves_out_the_head():
    counts = _predict(DdrTiming(), chooses=False)
    assert counts["head_cycles"] == counts["tokens"] == 0


def test_layers_cost_alike():
    config, parameters = MODELS["bitnet-96"], HARDWARE["small"].parameters
    steps = [predict_step(plan_program(config, parameters, 40, layers), DdrTiming(), 8, 0)
             for layers in (1, 2, 3)]
    cycles = [step["cycles"] for step in steps]
    assert cycles[2] - cycles[1] == pytest.approx(cycles[1] - cycles[0], rel=0.05)


def test_what_does_not_fit_is_refused():
    with pytest.raises(TrilobiteError, match="takes more than 100 cycles"):
        _predict(DdrTiming(), cycle_limit=100)
    for step in ({"tokens": 0}, {"tokens": 33}, {"position": -1}, {"position": 2 * CAPACITY}):
        with pytest.raises(TrilobiteError, match="does not fit"):
            _predict(DdrTiming(), **step)


@pytest.mark.slow
@pytest.mark.parametrize("name", HARDWARE)
def test_the_hardware_as_it_is_now(name, monkeypatch):
    """New counts of one model: other Verilog may count as before, other counts are renewed."""
    model = "bitnet-96"
    monkeypatch.setattr("trilobite.sim.verify.cycles.measure.STEPS", {model: STEPS[model]})
    counted = measure(name)["cases"][model]
    recorded = json.loads(MEASURED.read_text())[name]["cases"][model]
    for step in STEPS[model]:
        predicted = _predict(HARDWARE[name].timing, name, model, tokens=step.tokens,
                             position=step.position, chooses=step.chooses,
                             started=counted[step.name]["started"])
        assert predicted["cycles"] == pytest.approx(counted[step.name]["cycles"], rel=WORST)
    assert counted == recorded, (
        f"The hardware has other cycles than {MEASURED.name}: count them again with "
        f"``python -m trilobite.sim.verify.cycles.measure {name}``")


@pytest.mark.slow
def test_another_memory_in_rtl_simulation(monkeypatch):
    """A timing that is in no file."""
    timing = DdrTiming(latency=25, words=2, per_cycles=3, turnaround=3)
    hardware = replace(HARDWARE["small"], timing=timing)
    model, steps = "bitnet-128", STEPS["bitnet-128"][:2]
    monkeypatch.setitem(HARDWARE, "small", hardware)
    monkeypatch.setattr("trilobite.sim.verify.cycles.measure.STEPS", {model: steps})
    counted = measure("small")["cases"][model]
    for step in steps:
        predicted = _predict(timing, model=model, tokens=step.tokens, position=step.position)
        assert predicted["cycles"] == pytest.approx(counted[step.name]["cycles"], rel=0.01)
