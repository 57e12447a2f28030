"""Mixtures of experts: only those that are chosen are read."""

import dataclasses

import pytest

from trilobite.errors import EstimateError
from trilobite.sim.descriptions.shapes import ExpertLayers, load_shape
from trilobite.sim.descriptions.soc import load_soc
from trilobite.sim.processors.estimate import estimate_processor
from trilobite.sim.processors.stored_format import stored_format
from trilobite.sim.processors.workload import step_operators

SMALL = ExpertLayers(count=4, chosen=1, intermediate_size=8)
MODELS = ("qwen3-30b-a3b", "gpt-oss-20b")


def bytes_of(shape, name, **step):
    operators = step_operators(shape, stored_format("q4_k_m"), "f16", **step)
    return {one.name: one.count * one.traffic.total for one in operators}[name]


def test_expected_experts_of_a_few_tokens():
    assert SMALL.used(1) == pytest.approx(1)
    assert SMALL.used(2) == pytest.approx(1 + 3 / 4)    # the second token's is another 3 of 4 times
    assert SMALL.used(1000) == pytest.approx(4)


@pytest.mark.parametrize("name", MODELS)
def test_a_token_reads_the_chosen_experts_and_a_batch_more_of_them(name):
    shape = load_shape(name)
    one = bytes_of(shape, "experts down_proj", tokens=1, past=9)
    stored = stored_format("q4_k_m")
    experts, config = shape.experts, shape.config
    each = stored.matrix_bytes(config, "mlp.down_proj", experts.shape(config, "mlp.down_proj"))
    assert one == config.num_layers * experts.chosen * each
    eight = bytes_of(shape, "experts down_proj", tokens=1, past=9, batch=8)
    assert one < eight < 8 * one
    prompt = bytes_of(shape, "experts down_proj", tokens=4096, past=0)
    assert prompt == pytest.approx(config.num_layers * experts.count * each, rel=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_a_mixture_is_far_faster_than_its_size_says(name):
    shape, soc = load_shape(name), load_soc("apple-m1-max")
    found = estimate_processor(shape, soc, "gpu", stored_format("q4_k_m"), "f16", 32, 16)
    assert found.decode.dram_bytes < 0.3 * found.weight_bytes
    alone = 1 / found.rate.nominal
    batch = estimate_processor(shape, soc, "gpu", stored_format("q4_k_m"), "f16", 32, 16, batch=4)
    assert alone < batch.per_token.nominal < 4 * alone


def test_what_is_no_mixture_is_refused():
    with pytest.raises(EstimateError, match="5 of 4 experts"):
        dataclasses.replace(SMALL, chosen=5)
