"""What must hold of any estimate on a processor."""

import dataclasses

import pytest

from trilobite.errors import EstimateError
from trilobite.sim.descriptions.presets import bundled_devices
from trilobite.sim.descriptions.quantity import Corner, Quantity
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.descriptions.soc import Soc, load_soc
from trilobite.sim.processors.estimate import estimate_processor
from trilobite.sim.processors.stored_format import format_names, stored_format

SOCS = {name: device for name, device in bundled_devices().items() if isinstance(device, Soc)}
MODEL = load_shape("smollm2-135m")


def estimate(soc, kind=None, model=MODEL, name="q4_0", kv="f16", prompt=32, tokens=16):
    return estimate_processor(model, soc, kind, stored_format(name), kv, prompt, tokens)


@pytest.mark.parametrize("name", SOCS)
def test_every_processor_of_every_soc_has_estimates_in_order(name):
    soc = SOCS[name]
    for processor in soc.processors:
        found = estimate(soc, processor.kind)
        for value in (found.first_token, found.rate, found.per_token, found.decode_joules,
                      found.request_joules, found.power):
            assert 0 < value.low <= value.nominal <= value.high


@pytest.mark.parametrize("name", format_names())
def test_more_bandwidth_is_never_slower(name):
    soc = load_soc("raspberry-pi-5")
    cpu = soc.processors[0]
    twice = dataclasses.replace(soc, processors=(dataclasses.replace(
        cpu, bandwidth=Quantity(20.0, 20.0, 20.0, "GB/s", "assumption", "twice")),))
    slow, fast = estimate(soc, name=name), estimate(twice, name=name)
    assert fast.per_token.nominal <= slow.per_token.nominal
    assert fast.first_token.nominal <= slow.first_token.nominal


def test_parts_add_up():
    found = estimate(load_soc("apple-m2"), "gpu")
    for phase in (found.prefill, found.decode):
        assert sum(cost.time.nominal for cost in phase.operators) == pytest.approx(
            phase.time.nominal)
        parts = [value.nominal for part, value in phase.energy.items() if part != "total"]
        assert sum(parts) == pytest.approx(phase.joules.nominal)
        assert sum(phase.waits.values()) == pytest.approx(1)
        assert sum(phase.obtained.values()) == pytest.approx(1)
    assert found.request_joules.nominal == pytest.approx(
        found.prefill.joules.nominal + 15 * found.decode_joules.nominal)


def test_a_decode_step_counts_weights_head_cache_and_launches():
    """Every byte of Llama 2 7B but the embedding, which is read by the row."""
    model, stored = load_shape("llama-2-7b"), stored_format("f16")
    found = estimate(load_soc("snapdragon-8-gen-3"), model=model, name="f16")
    config = model.config
    norms = 4 * (2 * config.num_layers + 1) * config.hidden_size
    embedding = config.vocab_size * stored.row_bytes(config)
    position = found.kv_bytes_per_position
    assert position == 2 * 32 * 32 * 128 * 2
    assert found.decode.dram_bytes == (
        stored.model_bytes(config) - norms - embedding + stored.row_bytes(config)
        + (found.decode.context + 1) * position)
    launches = sum(cost.operator.count for cost in found.decode.operators)
    assert launches == 2 + 32 * (7 + 1 + 8)


def test_timelines_take_as_long_as_the_steps():
    found = estimate(load_soc("jetson-orin-nano"), "gpu")
    for name, phase in (("prefill", found.prefill), ("decode", found.decode)):
        assert found.timelines()[name].makespan == pytest.approx(phase.time.nominal, rel=1e-6)


def test_a_smaller_cache_is_faster_at_a_long_context():
    soc = load_soc("raspberry-pi-5")
    long = {"prompt": 4000, "model": load_shape("llama-2-7b"), "tokens": 16}
    assert estimate(soc, kv="int8", **long).rate.nominal > estimate(soc, **long).rate.nominal


@pytest.mark.parametrize(("changed", "message"), [
    ({"prompt": 0}, "at least 1 token, not 0"),
    ({"tokens": 1}, "At least 2 tokens"),
    ({"prompt": 9000}, "has 8192 positions, and a prompt of 9000 with 16 tokens needs 9016"),
    ({"kind": "npu"}, "Raspberry Pi 5 has no npu that is described; it has cpu"),
    ({"kv": "q3"}, "no type 'q3' of a cache; known are f16"),
    ({"model": load_shape("qwen3-8b"), "name": "f16"}, "needs 16,.* bytes, and Raspberry Pi 5 has"),
])
def test_what_cannot_run_is_refused(changed, message):
    with pytest.raises(EstimateError, match=message):
        estimate(load_soc("raspberry-pi-5"), **changed)


def test_ranges_are_at_the_ends_of_the_constants():
    found = estimate(load_soc("raspberry-pi-5"))
    assert found.costs.per_token(Corner.BEST) == found.per_token.low
    assert found.costs.per_token(Corner.WORST) == found.per_token.high
