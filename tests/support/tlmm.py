"""Matrices for the table-lookup engine, and the comparison of a whole simulation with numpy."""

import itertools
from functools import cache

import numpy as np

from trilobite.hw.matmul.engine_parameters import TlmmParameters, cycles, sign_select_cycles
from trilobite.hw.matmul.reference import matmul, unpack_sums
from trilobite.hw.matmul.sign_select import SignSelect
from trilobite.hw.matmul.tlmm import Tlmm
from trilobite.sim.verify.bench import build, exchange
from trilobite.sim.verify.engine import tlmm_traffic

STREAMS = ("i_job", "i_activations", "i_weights", "o")

# Every group size; odd and even, one and many tables and columns.
PARAMETERS = {
    "g2": TlmmParameters(group_size=2, tables=3, columns=2, max_k=60, max_m=25),
    "g3": TlmmParameters(group_size=3, tables=5, columns=3, max_k=80, max_m=100),
    "g4": TlmmParameters(group_size=4, tables=1, columns=1, max_k=17, max_m=90),
    "g5": TlmmParameters(group_size=5, tables=2, columns=4, max_k=33, max_m=10,
                         activation_width=6),
}


def random_matrix(rng, M, K, N, activation_width=8):
    """Trits int8 [M, K] and activations [N, K] over their whole ranges."""
    limit = 1 << (activation_width - 1)
    trits = rng.integers(-1, 2, (M, K)).astype(np.int8)
    return trits, rng.integers(-limit, limit, (N, K)).astype(np.int8 if limit <= 128 else np.int16)


def edges(parameters):
    """Shapes (M, K, N) around every boundary of an engine that are worth a visit."""
    block, length, entries = parameters.columns, parameters.pass_length, parameters.entries
    heights = {1, block, block + 1, 3 * block - 1, parameters.max_m,
               *(block * (entries + offset) for offset in (-2, -1, 0, 1, 2))}
    lengths = {1, parameters.group_size, length - 1, length, length + 1, parameters.max_k}
    return [(M, K, 1 + (M + K) % 3)
            for M, K in itertools.product(sorted(heights), sorted(lengths))
            if 1 <= M <= parameters.max_m and 1 <= K <= parameters.max_k]


@cache
def engine(parameters, simulator="verilator", kind=Tlmm):
    """A simulation of the engine."""
    return build(kind(parameters), kind.__name__.lower(), simulator)


def multiply(parameters, problems, simulator="verilator", kind=Tlmm):
    """Simulate ``(trits, activations, keywords of tlmm_traffic)``; check sums, return cycles."""
    traffic = [tlmm_traffic(parameters, trits, activations, **keywords)
               for trits, activations, keywords in problems]
    observed = exchange(engine(parameters, simulator, kind), traffic)
    for (trits, activations, keywords), run in zip(problems, observed, strict=True):
        if keywords.get("reset_after") is None:
            got = unpack_sums(parameters, run.outputs["o"], len(trits))
            np.testing.assert_array_equal(got, matmul(trits, activations))
    return [run.cycles for run in observed]


def predicted(parameters, trits, activations, kind=Tlmm):
    """What the formula says about a problem."""
    formula = {Tlmm: cycles, SignSelect: sign_select_cycles}[kind]
    return formula(parameters, trits.shape[1], trits.shape[0], len(activations))


def random_problems(parameters, shapes, seed, **keywords):
    """Random matrices of ``shapes`` (M, K, N), for ``multiply``."""
    rng = np.random.default_rng(seed)
    return [(*random_matrix(rng, *shape, parameters.activation_width), {"seed": number, **keywords})
            for number, shape in enumerate(shapes)]
