"""Seconds and joules of a generation, from predicted counters."""

import json
from dataclasses import replace

import pytest

from trilobite.errors import EstimateError, TrilobiteError
from trilobite.fpga.planner import plan_program
from trilobite.sim.bench.ddr import DdrTiming
from trilobite.sim.cycle_model.cases import HARDWARE, MODELS
from trilobite.sim.cycle_model.generation import (
    activity_energy,
    memory_timing,
    predict_generation,
    whole_step,
)
from trilobite.sim.cycle_model.predict import predict_step
from trilobite.sim.device import load_device
from trilobite.sim.energy import PARTS
from trilobite.sim.quantity import Corner
from trilobite.sim.shapes import ModelShape, load_shape

DEVICE = load_device("kv260")
SMALL = HARDWARE["small"].parameters
MODEL = ModelShape("tiny", "a test", MODELS["bitnet-96"])


@pytest.fixture(scope="module")
def generation():
    return predict_generation(MODEL, DEVICE, "small", SMALL, 20, 10)


def test_a_whole_model_is_extrapolated_from_two_layers_and_a_few_rows():
    config = replace(MODELS["llama-256"], num_layers=6, vocab_size=512)
    program = plan_program(config, SMALL, 130)
    for step in ((1, 120, True), (16, 0, True), (8, 40, False)):
        whole = predict_step(program, DdrTiming(), *step)
        counts = whole_step(config, SMALL, DdrTiming(), 130, *step)
        for name in ("cycles", "matmul_cycles", "attend_cycles", "head_cycles", "read_words"):
            assert counts[name] == pytest.approx(whole[name], rel=0.02), name


def test_energy_adds_up_and_ranges_are_in_order(generation):
    for step in (generation.prefill, generation.decode):
        for end in ("low", "nominal", "high"):
            parts = sum(getattr(step.energy[part], end) for part in PARTS)
            assert parts == pytest.approx(getattr(step.energy["total"], end))
        for value in (step.time, *step.energy.values(), generation.rate):
            assert 0 <= value.low <= value.nominal <= value.high
    value = json.loads(json.dumps(generation.to_json()))
    assert value["decode_energy"]["unit"] == "J/token"
    assert value["rate"]["nominal"] == pytest.approx(1 / value["decode"]["time"]["nominal"])


def test_joules_of_counters_by_hand():
    """One word of 16 bytes, one beat of 192 ternary products, and nothing standing."""
    free = {name: replace(getattr(DEVICE.power, name), low=0, nominal=0)
            for name in ("idle", "uram_rest", "active")}
    device = replace(DEVICE, power=replace(DEVICE.power, **free))
    counts = dict.fromkeys(("attention_words", "head_words", "write_words"), 0)
    counts |= {"read_words": 1, "weight_beats": 1}
    energy = activity_energy(device, SMALL, counts, 1.0, Corner.NOMINAL)
    assert energy.dram == pytest.approx(16 * 8 * 15e-12)
    assert energy.compute == pytest.approx(192 * 2e-12)
    assert energy.total == energy.dram + energy.compute


def test_the_memory_gives_what_the_board_sustains():
    assert memory_timing(DEVICE, 64, 250e6, Corner.NOMINAL) == DdrTiming(latency=60)
    half = memory_timing(DEVICE, 64, 500e6, Corner.NOMINAL)
    assert (half.latency, half.words, half.per_cycles) == (120, 1, 2)


def test_more_bandwidth_and_a_shorter_context_are_not_slower(generation):
    slow = replace(DEVICE.dram.sustained, low=0.5, nominal=1.0, high=2.0)
    device = replace(DEVICE, dram=replace(DEVICE.dram, sustained=slow))
    slower = predict_generation(MODEL, device, "small", SMALL, 20, 10)
    assert slower.decode.time.nominal > generation.decode.time.nominal
    longer = predict_generation(MODEL, DEVICE, "small", SMALL, 200, 10)
    assert longer.decode.time.nominal > generation.decode.time.nominal


def test_what_cannot_be_predicted_is_refused():
    with pytest.raises(EstimateError, match="at least 1 and 2"):
        predict_generation(MODEL, DEVICE, "small", SMALL, 20, 1)
    with pytest.raises(TrilobiteError, match="hidden_size is 2560, and at most 768 fit"):
        predict_generation(load_shape("bitnet-2b"), DEVICE, "small", SMALL, 20, 10)
