"""The array on Verilator, bit for bit against the runtime's kernel."""

import dataclasses

import numpy as np
import pytest

from support.integer_weights import E4M3_UNITS, pack_values, random_weight
from support.npu import check
from trilobite.npu import ArrayParameters, Stationary
from trilobite.npu.array import Array
from trilobite.numerics import quantize_activations_fp8
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Int4Fp8
from trilobite.runtime.kernels.floating.nibbles import Int4Fp8Linear
from trilobite.sim.verify.array import ArrayJob, array_totals, array_traffic
from trilobite.sim.verify.bench import build, exchange

SHAPES = {
    "weights stay": ArrayParameters(Stationary.WEIGHT, rows=4, lanes=8, tokens=6, group_size=32),
    "one token, whole groups": ArrayParameters(
        Stationary.WEIGHT, rows=2, lanes=32, tokens=1, group_size=32),
    "outputs stay": ArrayParameters(Stationary.OUTPUT, rows=3, lanes=4, tokens=2, group_size=64),
    "groups of 128": ArrayParameters(Stationary.OUTPUT, rows=1, lanes=128, tokens=1),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def units_of(N, K, seed=0):
    x = np.random.default_rng(seed).standard_normal((N, K)).astype(np.float32)
    return quantize_activations_fp8(x)[0]


@every_shape
def test_totals_are_the_runtimes_with_and_without_stalls(shape):
    form = Int4Fp8(shape.group_size)
    problems = []
    for seed, groups in enumerate((1, 2, 5)):
        packed = random_weight(form, 2 * shape.rows, groups * shape.group_size, seed).packed
        units = units_of(2 * shape.tokens, packed.shape[1], seed)
        everywhere = [{"stall": stall, "seed": seed} for stall in (0.0, 0.1, 0.5, 0.9)]
        alone = [{"stall": {name: 0.8}} for name in ("i_job", "i_weights", "i_activations", "o")]
        problems += [(packed, units, keywords) for keywords in everywhere + alone]
    check(shape, problems)


@every_shape
def test_totals_of_real_weights_are_the_runtimes(shape):
    with open_checkpoint("demo-llama") as checkpoint:
        weight = checkpoint.read("model.layers.0.mlp.gate_proj.weight")[:2 * shape.rows]
    packed = Int4Fp8(shape.group_size).quantize(weight)
    check(shape, [(packed, units_of(shape.tokens, weight.shape[1]), {"stall": 0.3})])


@every_shape
def test_the_largest_totals_fit(shape):
    form, K = Int4Fp8(shape.group_size), 3 * shape.group_size
    packed = pack_values(form, np.full((shape.rows, K), -8, np.int8), zero_point=0).packed
    check(shape, [(packed, np.full((shape.tokens, K), extreme, np.int32), {})
                  for extreme in (-E4M3_UNITS, E4M3_UNITS, 1, 0)])


@every_shape
def test_cycles_of_one_job(shape):
    groups = 3
    packed = random_weight(Int4Fp8(shape.group_size), shape.rows, groups * shape.group_size).packed
    cycles, = check(shape, [(packed, units_of(shape.tokens, packed.shape[1]), {})])
    # The job is taken before its first beat enters.
    assert cycles == shape.busy_cycles(groups, shape.tokens) + Array.latency + 1


@every_shape
def test_a_reset_at_any_time_drops_the_job_and_nothing_else(shape):
    packed = random_weight(Int4Fp8(shape.group_size), shape.rows, 2 * shape.group_size).packed
    job = ArrayJob(packed, units_of(shape.tokens, packed.shape[1]))
    whole = array_traffic(shape, job)
    length = shape.busy_cycles(2, shape.tokens) + Array.latency
    traffic = []
    for number, cycle in enumerate(np.linspace(1, length - 1, 8).astype(int)):
        stall = 0.2 * (number % 3)
        traffic += [dataclasses.replace(whole, reset_after=int(cycle), stall=stall), whole]
    observed = exchange(build(Array(shape), f"npu_{shape.stationary}"), traffic)
    expected = Int4Fp8Linear(packed, None).integer(job.units.astype(np.int32))
    for run in observed[1::2]:
        found = array_totals(shape, run, shape.rows, shape.tokens)
        np.testing.assert_array_equal(found, expected)
