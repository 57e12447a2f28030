"""Estimates whose cycles the model predicts: seconds, joules, operators, timelines."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trilobite.errors import EstimateError, TrilobiteError
from trilobite.fpga.events import COUNTERS
from trilobite.fpga.planner import plan_program
from trilobite.sim.descriptions.accelerator import AcceleratorDescription, load_accelerator
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.dram_layout import DramLayout
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.descriptions.shapes import ModelShape, load_shape
from trilobite.sim.formulas.energy import PARTS, Supply
from trilobite.sim.formulas.workload import step
from trilobite.sim.predictions.accelerator_constants import rtl_accelerator
from trilobite.sim.predictions.accelerator_estimate import estimate_accelerator
from trilobite.sim.predictions.extrapolation import total
from trilobite.sim.predictions.operator_rows import OperatorRows
from trilobite.sim.predictions.prediction import activity_energy
from trilobite.sim.predictions.work import accelerator_operators, operations
from trilobite.sim.report import report_csv, report_json
from trilobite.sim.report.page import page
from trilobite.sim.verify.cycles.cases import HARDWARE, MODELS

DEVICE = load_device("kv260")
SMALL = HARDWARE["small"].parameters
MODEL = ModelShape("tiny", "a test", replace(MODELS["bitnet-96"], max_position_embeddings=256))
DESCRIBED = AcceleratorDescription.of("Accelerator small", SMALL)
PROMPT, TOKENS = 70, 10   # three steps of 32 tokens


@pytest.fixture(scope="module")
def result():
    return estimate_accelerator(MODEL, DEVICE, DESCRIBED, PROMPT, TOKENS)


def test_a_phase_is_the_sum_of_its_operators(result):
    for phase in (result.prefill, result.decode):
        assert [cost.operator.name for cost in phase.operators] == list(
            OperatorRows.of(plan_program(MODEL.config, SMALL, 10)).names)
        for end in ("low", "nominal", "high"):
            assert sum(getattr(cost.time, end) for cost in phase.operators) == pytest.approx(
                getattr(phase.time, end))
        for cost in phase.operators:
            rest = cost.start + max(cost.compute, cost.memory)
            assert rest == pytest.approx(cost.time.nominal, rel=1e-9)
            assert {"compute": cost.compute, "memory": cost.memory, "start": cost.start}[
                cost.waits_for] == max(cost.compute, cost.memory, cost.start)
        assert 0 < phase.bandwidth_used <= 1 and 0 < phase.engine_used <= 1
        assert sum(phase.waits.values()) == pytest.approx(1)
        assert phase.obtained == {"model": pytest.approx(1)}


def test_energy_adds_up_and_ranges_are_in_order(result):
    for phase in (result.prefill, result.decode):
        for end in ("low", "nominal", "high"):
            parts = sum(getattr(phase.energy[part], end) for part in PARTS)
            assert parts == pytest.approx(getattr(phase.energy["total"], end))
        for value in (phase.time, *phase.energy.values()):
            assert 0 < value.low <= value.nominal <= value.high
    assert result.request_joules.nominal == pytest.approx(
        result.prefill.joules.nominal + (TOKENS - 1) * result.decode_joules.nominal)
    assert result.rate.nominal == pytest.approx(1 / result.per_token.nominal)
    assert result.power.nominal == pytest.approx(
        result.decode_joules.nominal / result.per_token.nominal)


def test_the_timeline_takes_as_long_and_as_much_as_the_phase(result):
    """Also where the memory gives 9 words in 32 cycles, now and then one of them early."""
    slow = replace(DEVICE.dram.sustained, low=1.0, nominal=1.125, high=2.0)
    slower = estimate_accelerator(MODEL, replace(DEVICE, dram=replace(DEVICE.dram, sustained=slow)),
                                  DESCRIBED, PROMPT, TOKENS)
    for one in (result, slower):
        for name, timeline in one.timelines().items():
            phase = getattr(one, name)
            assert timeline.makespan == pytest.approx(phase.time.nominal, rel=1e-9)
            assert timeline.moved("DRAM") == pytest.approx(phase.dram_bytes, rel=1e-9)
            assert timeline.energy.total == pytest.approx(phase.joules.nominal, rel=1e-9)
    runs = 3 * (1 + 11 * MODEL.config.num_layers) + 2   # three steps; the head in the last one
    assert len(result.timelines()["prefill"].spans) == runs


def test_joules_of_counters_by_hand(result):
    """A word of 16 bytes, a beat of 192 ternary products, a word of the cache and of the head, a
    float operation; nothing standing."""
    free = {name: replace(getattr(DEVICE.power, name), low=0, nominal=0)
            for name in ("idle", "uram_rest", "active")}
    device = replace(DEVICE, power=replace(DEVICE.power, **free))
    counts = 0 * result.cycles.decode.counts
    for name in ("read_words", "weight_beats", "attention_words", "head_words"):
        counts[3, list(COUNTERS).index(name)] = 1
    accelerator = rtl_accelerator(DESCRIBED)
    energy = activity_energy(Supply(device, 0, Corner.NOMINAL), accelerator, counts, 1, 1.0)
    assert energy.dram == pytest.approx(16 * 8 * 15e-12)
    int8 = 16 * SMALL.queries + 16
    assert energy.compute == pytest.approx((192 * 2 + int8 * 6 + 20) * 1e-12)
    assert energy.total == energy.dram + energy.compute


def test_the_float_units_have_their_part_of_the_energy(result):
    """Twice the energy of an operation: twice the operations' part of the compute energy."""
    operation = DEVICE.power.operation
    costly = replace(operation, **{end: 2 * getattr(operation, end)
                                   for end in ("low", "nominal", "high")})
    device = replace(DEVICE, power=replace(DEVICE.power, operation=costly))
    more = estimate_accelerator(MODEL, device, DESCRIBED, PROMPT, TOKENS)
    expected = operations(MODEL.config, PROMPT, 0) * operation.nominal * 1e-12
    assert more.prefill.energy["compute"].nominal - result.prefill.energy[
        "compute"].nominal == pytest.approx(expected)


@pytest.mark.parametrize("name", ["bitnet-96", "llama-256"])
def test_the_operators_do_all_the_work_of_the_workload(name):
    """Fused as the descriptors are, nothing twice and nothing left out."""
    config = MODELS[name]
    fused = accelerator_operators(config, SMALL, 20, 12, 1)
    whole = step(config, DramLayout(weight_bits=2), 20, 12)
    for field in ("macs", "operations", "elements"):
        assert sum(one.count * getattr(one, field) for one in fused) == whole.total(field)
    assert sum(one.count * one.traffic.kv_written for one in fused) == whole.bytes("kv_written")
    assert operations(config, 20, 12) == whole.total("operations")


def test_more_bandwidth_and_a_shorter_context_are_not_slower(result):
    slow = replace(DEVICE.dram.sustained, low=0.5, nominal=1.0, high=2.0)
    device = replace(DEVICE, dram=replace(DEVICE.dram, sustained=slow))
    slower = estimate_accelerator(MODEL, device, DESCRIBED, PROMPT, TOKENS)
    assert slower.per_token.nominal > result.per_token.nominal
    longer = estimate_accelerator(MODEL, DEVICE, DESCRIBED, 2 * PROMPT, TOKENS)
    assert longer.per_token.nominal > result.per_token.nominal
    rates = [point.rate.nominal for point in result.curve]
    assert rates == sorted(rates, reverse=True)


@settings(max_examples=4, deadline=None, phases=[Phase.generate])   # shrinking takes minutes
@given(bandwidth=st.floats(0.05, 20.0), faster=st.floats(1.1, 4.0), prompt=st.integers(1, 100),
       tokens=st.integers(2, 100), energy=st.floats(0.0, 100.0))
def test_whatever_the_board_numbers_are_sane(bandwidth, faster, prompt, tokens, energy):
    """Nothing is used more than there is of it; more bandwidth is not slower, but for some cycles
    of turns of the port; joules grow with the energy of a bit."""
    def on(rate, bit):
        sustained, dram = DEVICE.dram.sustained, DEVICE.dram
        return estimate_accelerator(MODEL, replace(DEVICE, dram=replace(
            dram, sustained=replace(sustained, low=rate / 2, nominal=rate, high=2 * rate),
            peak=replace(dram.peak, low=3 * rate, nominal=3 * rate, high=3 * rate),
            energy=replace(dram.energy, low=bit, nominal=bit, high=bit))), DESCRIBED, prompt,
            tokens)

    one, better = on(bandwidth, energy), on(bandwidth * faster, energy)
    for result in (one, better):
        values = [result.first_token, result.rate, result.per_token, result.decode_joules,
                  result.request_joules, result.power]
        for value in values:
            assert all(map(math.isfinite, (value.low, value.nominal, value.high)))
            assert 0 < value.low <= value.nominal <= value.high
        for phase in (result.prefill, result.decode):
            assert phase.bandwidth_used > 0
            assert 0 < phase.engine_used <= 1
            for cost in phase.operators:
                assert min(cost.start, cost.compute, cost.memory) >= -1e-12
                assert max(cost.compute, cost.memory) <= cost.time.nominal * (1 + 1e-9)
    assert better.first_token.nominal <= one.first_token.nominal * 1.01
    assert better.per_token.nominal <= one.per_token.nominal * 1.01
    assert on(bandwidth, energy + 1).request_joules.nominal > one.request_joules.nominal


def test_json_table_and_page_say_that_cycles_are_predicted(result):
    value = json.loads(json.dumps(report_json([result])))["estimates"][0]
    predicted = value["cycles"]["predicted"]
    assert predicted["decode"]["cycles"] == round(total(result.cycles.decode.counts))
    assert set(predicted["prefill"]) == set(COUNTERS)
    assert value["hardware"]["name"] == "Accelerator small"
    assert {one["obtained"] for one in value["decode"]["operators"]} == {"model"}
    assert report_csv([result]).count(",model\n") == 2 * len(result.decode.operators)
    html = page([result], {"trilobite": "0"})
    assert "cycle model 100" in html and "What the accelerator counts of itself" in html
    assert "sampling, control" not in html   # no host waits


def test_a_published_shape_takes_the_boards_uram_and_stands_beside_the_published():
    estimate = estimate_accelerator(load_shape("bitnet-0.73b"), DEVICE, load_accelerator("kv260"),
                                    1, 2)
    assert [one.published.name for one in estimate.comparisons] == ["TeLLMe v2", "PD-Swap"]
    budget, = estimate.hardware.budget(DEVICE)
    assert 0 < budget.used <= budget.available
    # 1.6 to 1.67 bits a weight, an int8 head, norms
    matrices = 24 * (4 * 1536 * 1536 + 3 * 1536 * 4096)
    assert 1.6 * matrices / 8 + 32002 * 1536 < estimate.weight_bytes < (
        1.67 * matrices / 8 + 32002 * 1640)


def test_codes_of_four_bits_are_half_the_words_and_the_same_products(result):
    half = estimate_accelerator(replace(MODEL, vocabulary_bits=(4, 4)), DEVICE, DESCRIBED, PROMPT,
                                TOKENS)
    heads = [one.decode.operators[-1] for one in (result, half)]
    codes = MODEL.config.vocab_size * MODEL.config.hidden_size
    assert heads[0].operator.traffic.weights - heads[1].operator.traffic.weights == codes // 2
    assert heads[1].time.nominal < 0.7 * heads[0].time.nominal
    assert heads[1].operator.macs == heads[0].operator.macs
    assert result.weight_bytes - half.weight_bytes == codes // 2


def test_what_cannot_be_predicted_is_refused():
    with pytest.raises(EstimateError, match="at least 1 token and 2"):
        estimate_accelerator(MODEL, DEVICE, DESCRIBED, 20, 1)
    with pytest.raises(EstimateError, match="holds 256 positions"):
        estimate_accelerator(MODEL, DEVICE, DESCRIBED, 250, 10)
    with pytest.raises(TrilobiteError, match="hidden_size is 2560, and at most 768 fit"):
        estimate_accelerator(load_shape("bitnet-2b"), DEVICE, DESCRIBED, 20, 10)
    small = replace(DEVICE.dram.capacity, low=1e4, nominal=1e4, high=1e4)
    device = replace(DEVICE, dram=replace(DEVICE.dram, capacity=small))
    with pytest.raises(EstimateError, match="needs 0.00 GB for weights"):
        estimate_accelerator(MODEL, device, DESCRIBED, 20, 10)
    with pytest.raises(EstimateError, match="tlmm-kv260 describes an engine and no whole accel"):
        estimate_accelerator(MODEL, DEVICE, load_accelerator("tlmm-kv260"), 20, 10)
