"""Programs of shapes alone."""

from dataclasses import replace

import pytest

from trilobite.errors import TrilobiteError
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.image import image_of
from trilobite.fpga.planner import plan_program
from trilobite.quant.formats import GroupedTernary, Int2, Int3, Int4, Ternary
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.shapes import load_shape
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


def test_a_step_has_no_more_tokens_than_the_activation_buffer_holds():
    """The widest rows of BitNet 2B-4T take 72 beats of 96 codes, and 4,096 are there."""
    kv260 = load_accelerator("kv260").whole()
    large, small = (plan_program(load_shape(name).config, kv260, 10, 1)
                    for name in ("bitnet-2b", "bitnet-0.73b"))
    assert (large.step_tokens, small.step_tokens) == (4096 // 72, 64)
    image = image_of(compile_model(MODELS["bitnet-96"], random_weights(
        MODELS["bitnet-96"], Ternary()), HARDWARE["small"].parameters, 10), "it", 10)
    passes = 7   # of 24 codes, for 160
    assert image.step_tokens(1000) == 2048 // passes
    assert image.step_tokens(32) == 32
    with pytest.raises(TrilobiteError, match="a row of activations takes 72 beats, and its "
                                             "buffer has 71"):
        plan_program(load_shape("bitnet-2b").config, replace(kv260, activation_beats=71), 10, 1)


@pytest.mark.parametrize("form", [GroupedTernary(group_size=32), GroupedTernary(group_size=None),
                                  Int4(group_size=32), Int3(), Int2(group_size=64)])
def test_weights_with_scales_of_groups_are_planned_as_they_are_compiled(form):
    config = replace(MODELS["llama-256"], num_layers=1, qk_norm=True, o_bias=True, mlp_bias=True)
    parameters = replace(HARDWARE["small"].parameters, biases=True, head_norms=True,
                         scale_lanes=8, scale_beats=1024)
    program = compile_model(config, random_weights(config, form), parameters, 100)
    plan = plan_program(config, parameters, 100, form=form)
    assert plan.memory.regions == program.memory.regions
    assert plan.tiles == program.tiles
    kept = [[replace(d, x=0, y=0) for d in one.descriptors] for one in (plan, program)]
    assert kept[0] == kept[1]


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
