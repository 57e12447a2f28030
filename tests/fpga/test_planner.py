"""Programs of shapes alone."""

from dataclasses import replace

import pytest

from trilobite.errors import TrilobiteError
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.planner import plan_program
from trilobite.quant.formats import Int4, Ternary
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.verify.cycles.cases import HARDWARE, MODELS


@pytest.mark.parametrize("hardware", ["small", "narrow"])
@pytest.mark.parametrize("model", MODELS)
def test_a_plan_is_the_program_without_scales_and_contents(hardware, model):
    config, parameters = MODELS[model], HARDWARE[hardware].parameters
    program = compile_model(config, random_weights(config, Ternary()), parameters, 100)
    plan = plan_program(config, parameters, 100)
    assert plan.memory.regions == program.memory.regions
    assert plan.tiles == program.tiles
    assert plan.layers == program.layers
    assert plan.origins == program.origins
    unscaled = [[replace(d, x=0, y=0) for d in one.descriptors] for one in (plan, program)]
    assert unscaled[0] == unscaled[1]
    others = [[(d.x, d.y) for d in one.descriptors if d.operation.name != "MATMUL"]
              for one in (plan, program)]
    assert others[0] == others[1]


@pytest.mark.parametrize("model", ["bitnet-128", "llama-256"])   # tied, untied
def test_codes_of_four_bits_are_planned_as_they_are_compiled(model):
    config, parameters = MODELS[model], HARDWARE["small"].parameters
    four = Int4(symmetric=True, group_size=None)
    program = compile_model(config, random_weights(config, Ternary(), vocabulary=four), parameters,
                            100)
    plan = plan_program(config, parameters, 100, vocabulary_bits=(4, 4))
    assert plan.memory.regions == program.memory.regions
    heads = [[(d.four_bits, d.tile_words, d.region) for d in one.descriptors if d.four_bits]
             for one in (plan, program)]
    assert heads[0] == heads[1] and len(heads[0]) == 2


def test_fewer_layers_are_a_shorter_program():
    config, parameters = MODELS["bitnet-96"], HARDWARE["small"].parameters
    whole, one = plan_program(config, parameters, 10), plan_program(config, parameters, 10, 1)
    others = [origin for origin in whole.origins if origin.layer not in (None, 0)]
    assert len(whole.descriptors) - len(one.descriptors) == len(others) > 0
    assert [origin.operator for origin in others] == 2 * [
        origin.operator for origin in one.origins if origin.layer == 0]
    assert len(whole.tiles) == 3 * len(one.tiles)


def test_a_model_that_is_too_large_is_refused_by_the_same_words():
    config = replace(MODELS["bitnet-96"], intermediate_size=10_000)
    with pytest.raises(TrilobiteError, match="intermediate_size is 10000, and at most 768 fit"):
        plan_program(config, HARDWARE["small"].parameters, 10)
