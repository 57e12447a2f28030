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
from trilobite.hw.matmul.engine_parameters import TlmmParameters, sign_select_cycles
from trilobite.hw.matmul.reference import (
    matmul,
    pack_beats,
    unpack_beats,
    unpack_sums,
    weight_indices,
)
from trilobite.hw.matmul.sign_select import SelectTree, SignSelect
from trilobite.hw.unused import never_elaborated
from trilobite.sim.verify.bench import build, exchange, sample
from trilobite.sim.verify.engine import tlmm_traffic

every_engine = pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)


def test_a_tree_worked_out_by_hand():
    """3 * 1 + (-128) * -1 + 127 * 0 + (-5) * -1 = 136."""
    tree = SelectTree(4, 8)
    assert tree.latency == 3
    keep, negate, drop = 0b01, 0b11, 0b00
    trits = keep | negate << 2 | drop << 4 | negate << 6
    activations = pack_beats(np.array([[3, -128, 127, -5]]), 8)
    out = sample(build(tree, "select_tree"), {
        "i": np.repeat(activations, 5, 0), "i_trits": np.full((5, 1), trits, np.uint8)})
    assert unpack_beats(out["o"], 11, 1)[3:, 0].tolist() == [136, 136]


@every_engine
def test_sums_and_cycles_are_exact_for_every_shape(parameters):
    problems = random_problems(parameters, edges(parameters), seed=1)
    counted = multiply(parameters, problems, kind=SignSelect)
    assert counted == [predicted(parameters, *problem[:2], kind=SignSelect)
                       for problem in problems]


@every_engine
def test_sums_are_exact_with_stalls(parameters):
    problems = [problem for stall in (0.1, 0.5, 0.9, *({stream: 0.7} for stream in STREAMS))
                for problem in random_problems(parameters, edges(parameters)[::4], 2, stall=stall)]
    multiply(parameters, problems, kind=SignSelect)


@every_engine
def test_sums_of_the_largest_magnitude_fit(parameters):
    low = -1 << (parameters.activation_width - 1)
    shape = (parameters.max_m, parameters.max_k)
    problems = [
        (np.full(shape, trit, np.int8), np.full((1, parameters.max_k), activation, np.int8), {})
        for trit, activation in itertools.product((-1, 0, 1), (low, low + 1, 0, -1 - low))
    ]
    multiply(parameters, problems, kind=SignSelect)


@every_engine
def test_a_reset_at_any_time_drops_the_jobs_and_nothing_else(parameters):
    shape = (min(parameters.max_m, 7 * parameters.columns), parameters.max_k, 3)
    whole = random_problems(parameters, [shape], 5)[0]
    length = predicted(parameters, *whole[:2], kind=SignSelect)
    problems = []
    for number, cycle in enumerate(np.linspace(1, length - 1, 12).astype(int)):
        problems.append((*whole[:2], {"reset_after": int(cycle), "stall": 0.2 * (number % 3)}))
        problems += random_problems(parameters, [shape], 6 + number, stall=0.2 * (number % 2))
    multiply(parameters, problems, kind=SignSelect)


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
    trits[np.repeat(invalid[0, 0], parameters.group_size, axis=1)] = 0
    run = tlmm_traffic(parameters, trits, activations)
    run.inputs["i_weights"] = pack_beats(indices.reshape(1, -1), parameters.index_width)
    observed = exchange(engine(parameters, kind=SignSelect), [run])[0]
    np.testing.assert_array_equal(unpack_sums(parameters, observed.outputs["o"], len(trits)),
                                  matmul(trits, activations))


@every_engine
def test_no_output_depends_on_an_input_within_the_cycle(parameters):
    assert_outputs_are_registered(engine(parameters, kind=SignSelect))


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
    counted = multiply(parameters, problems, "icarus", SignSelect)
    assert counted == [predicted(parameters, *problem[:2], kind=SignSelect)
                       for problem in problems]


def test_cycles_of_a_job_counted_by_hand():
    """4 passes of 5 blocks: 2 to take the activations in, 20 beats, 3 levels and 2 more."""
    parameters = TlmmParameters(group_size=3, tables=2, columns=4, max_k=24, max_m=20)
    assert sign_select_cycles(parameters, K=24, M=20) == 2 + 20 + 5


def test_a_component_takes_parameters_only():
    with never_elaborated(), pytest.raises(TypeError, match="takes TlmmParameters, not 3"):
        SignSelect(3)
