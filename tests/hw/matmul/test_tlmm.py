import itertools

import numpy as np
import pytest

from support.registered import assert_outputs_are_registered
from support.tlmm import (
    PARAMETERS,
    STREAMS,
    edges,
    engine,
    multiply,
    predicted,
    random_matrix,
    random_problems,
)
from trilobite.hw.matmul.engine_parameters import TlmmParameters
from trilobite.hw.matmul.reference import matmul, pack_beats, unpack_sums, weight_indices
from trilobite.hw.matmul.tlmm import Tlmm
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import Traffic, exchange
from trilobite.sim.verify.engine import tlmm_traffic

every_engine = pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)


@every_engine
def test_sums_and_cycles_are_exact_for_every_shape(parameters):
    problems = random_problems(parameters, edges(parameters), seed=1)
    counted = multiply(parameters, problems)
    assert counted == [predicted(parameters, *problem[:2]) for problem in problems]


@every_engine
def test_sums_are_exact_with_stalls_on_all_streams(parameters):
    for_all = [problem for stall in (0.1, 0.5, 0.9)
               for problem in random_problems(parameters, edges(parameters)[::3], 2, stall=stall)]
    multiply(parameters, for_all)


@every_engine
def test_sums_are_exact_with_stalls_on_one_stream(parameters):
    multiply(parameters, [
        problem for stream in STREAMS
        for problem in random_problems(parameters, edges(parameters)[::4], 3,
                                       stall={stream: 0.7})])


@every_engine
def test_sums_of_the_largest_magnitude_fit(parameters):
    low = -1 << (parameters.activation_width - 1)
    shape = (parameters.max_m, parameters.max_k)
    problems = [
        (np.full(shape, trit, np.int8), np.full((1, parameters.max_k), activation, np.int8), {})
        for trit, activation in itertools.product((-1, 0, 1), (low, low + 1, 0, -1 - low))
    ]
    multiply(parameters, problems)


@every_engine
def test_jobs_of_one_block_reuse_their_accumulator_in_consecutive_passes(parameters):
    """When weights are late, two passes are ready, and may be looked up in consecutive cycles."""
    shapes = [(1, parameters.max_k, 30), (parameters.columns, parameters.max_k, 30)]
    multiply(parameters, [
        problem for stall in (0.0, {"i_weights": 0.9}, {"i_weights": 0.98})
        for problem in random_problems(parameters, shapes, 4, stall=stall)])


@every_engine
def test_a_reset_at_any_time_drops_the_jobs_and_nothing_else(parameters):
    shape = (min(parameters.max_m, 7 * parameters.columns), parameters.max_k, 3)
    whole = random_problems(parameters, [shape], 5)[0]
    length = predicted(parameters, *whole[:2])
    problems = []
    for number, cycle in enumerate(np.linspace(1, length - 1, 12).astype(int)):
        problems.append((*whole[:2], {"reset_after": int(cycle), "stall": 0.2 * (number % 3)}))
        problems += random_problems(parameters, [shape], 6 + number, stall=0.2 * (number % 2))
    multiply(parameters, problems)


def test_what_comes_out_before_a_reset_is_right():
    parameters = PARAMETERS["g3"]
    trits, activations, _ = random_problems(parameters, [(99, 80, 2)], 7)[0]
    run = exchange(engine(parameters),
                   [tlmm_traffic(parameters, trits, activations, reset_after=250)])[0]
    blocks = parameters.blocks(99)
    jobs = len(run.outputs["o"]) // blocks
    assert jobs == 1
    np.testing.assert_array_equal(unpack_sums(parameters, run.outputs["o"][:blocks], 99),
                                  matmul(trits, activations[:1]))


def test_jobs_of_different_shapes_follow_each_other():
    parameters = PARAMETERS["g2"]
    rng = np.random.default_rng(8)
    runs = [tlmm_traffic(parameters, *random_matrix(rng, M, K, 1))
            for M, K in [(25, 60), (1, 1), (2, 13), (24, 6), (3, 60), (20, 7), (1, 60)]]
    together = Traffic({name: np.concatenate([run.inputs[name] for run in runs])
                        for name in runs[0].inputs},
                       {"o": sum(run.outputs["o"] for run in runs)})
    apart = exchange(engine(parameters), runs)
    for stall in (0.0, 0.4):
        mixed = exchange(engine(parameters), [Traffic(together.inputs, together.outputs,
                                                      stall=stall)])[0]
        expected = np.concatenate([run.outputs["o"] for run in apart])
        np.testing.assert_array_equal(mixed.outputs["o"], expected)


@every_engine
def test_an_invalid_index_contributes_nothing(parameters):
    rng = np.random.default_rng(9)
    trits, activations = random_matrix(rng, parameters.columns, parameters.pass_length, 1,
                                       parameters.activation_width)
    indices = weight_indices(parameters, trits)
    invalid = rng.random(indices.shape) < 0.5
    invalid.flat[0] = True
    signs = 1 << (parameters.index_width - 1)
    magnitudes = rng.integers(parameters.entries, signs, indices.shape)
    indices[invalid] = (magnitudes + signs * rng.integers(0, 2, indices.shape))[invalid]
    # Columns and tables of the only beat are rows and groups of the matrix.
    skipped = np.repeat(invalid[0, 0], parameters.group_size, axis=1)
    trits[skipped] = 0
    run = tlmm_traffic(parameters, trits, activations)
    run.inputs["i_weights"] = pack_beats(indices.reshape(1, -1), parameters.index_width)
    observed = exchange(engine(parameters), [run])[0]
    np.testing.assert_array_equal(unpack_sums(parameters, observed.outputs["o"], len(trits)),
                                  matmul(trits, activations))


def test_a_job_of_zero_passes_and_blocks_counts_as_one_of_each():
    parameters = PARAMETERS["g2"]
    trits, activations, _ = random_problems(parameters, [(2, 6, 3)], 10)[0]
    run = tlmm_traffic(parameters, trits, activations)
    run.inputs["i_job"] = np.zeros_like(run.inputs["i_job"])
    observed = exchange(engine(parameters), [run])[0]
    np.testing.assert_array_equal(unpack_sums(parameters, observed.outputs["o"], 2),
                                  matmul(trits, activations))


@every_engine
def test_no_output_depends_on_an_input_within_the_cycle(parameters):
    assert_outputs_are_registered(engine(parameters))


@pytest.mark.icarus
@every_engine
def test_icarus_agrees_with_verilator(parameters):
    problems = random_problems(parameters, edges(parameters)[::5], 11)
    problems += random_problems(parameters, edges(parameters)[::7], 12, stall=0.4)
    assert multiply(parameters, problems, "icarus") == multiply(parameters, problems, "verilator")


@pytest.mark.icarus
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow)
                                          for seed in range(2, 6))])
def test_engines_of_any_shape_are_exact(seed):
    rng = np.random.default_rng(seed)
    group_size, tables, columns = (int(rng.integers(*span)) for span in ((2, 6), (1, 10), (1, 6)))
    parameters = TlmmParameters(
        group_size, tables, columns, max_k=int(rng.integers(1, 5 * tables * group_size)),
        max_m=int(rng.integers(1, 40)), activation_width=int(rng.integers(2, 13)))
    shapes = [(int(rng.integers(1, parameters.max_m + 1)),
               int(rng.integers(1, parameters.max_k + 1)), 2) for _ in range(3)]
    shapes.append((parameters.max_m, parameters.max_k, 1))
    problems = random_problems(parameters, shapes, seed)
    counted = multiply(parameters, problems, "icarus")
    assert counted == [predicted(parameters, *problem[:2]) for problem in problems]


def test_a_component_takes_parameters_only():
    with never_elaborated(), pytest.raises(TypeError, match="takes TlmmParameters, not 3"):
        Tlmm(3)


def test_repr_shows_the_parameters():
    parameters = TlmmParameters(3, 32, 16, 6912, 6912)
    with never_elaborated():
        assert repr(Tlmm(parameters)) == (
            "Tlmm(TlmmParameters(group_size=3, tables=32, columns=16, max_k=6912, max_m=6912, "
            "activation_width=8))")
