import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import TrilobiteError
from trilobite.runtime.sampling import Sampler

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))


def draws(sampler, logits, count=400):
    return [sampler(logits) for _ in range(count)]


def test_greedy_takes_the_largest_and_the_lowest_id_on_a_tie():
    assert Sampler()(np.array([1.0, 3.0, 3.0, 2.0], np.float32)) == 1


def test_top_k_one_is_greedy_at_any_temperature():
    assert set(draws(Sampler(temperature=5.0, top_k=1), LOGITS, 50)) == {0}


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    # 0.5 + 0.25 = 0.75 >= 0.7: tokens 0 and 1 are kept, token 2 is not.
    assert set(draws(Sampler(temperature=1.0, top_p=0.7), LOGITS)) == {0, 1}


def test_frequencies_follow_the_probabilities():
    counts = np.bincount(draws(Sampler(temperature=1.0, seed=3), LOGITS, 20_000), minlength=4)
    np.testing.assert_allclose(counts / 20_000, [0.5, 0.25, 0.15, 0.1], atol=0.02)


def test_low_temperature_sharpens():
    counts = np.bincount(draws(Sampler(temperature=0.1, seed=1), LOGITS), minlength=4)
    assert counts[0] > 390   # probability 0.999 after division by 0.1


@given(seed=st.integers(0, 2**32), size=st.integers(1, 50), top_k=st.integers(0, 60))
def test_same_seed_gives_the_same_tokens(seed, size, top_k):
    logits = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    first = draws(Sampler(0.8, top_k, 0.9, seed), logits, 5)
    assert first == draws(Sampler(0.8, top_k, 0.9, seed), logits, 5)
    allowed = np.argsort(-logits, kind="stable")[: top_k or size]
    assert set(first) <= set(allowed.tolist())


@pytest.mark.parametrize(
    "options, named",
    [
        ({"temperature": -1.0}, "-1.0"),
        ({"temperature": float("nan")}, "nan"),
        ({"temperature": float("inf")}, "inf"),
        ({"top_k": -2}, "-2"),
        ({"top_p": 0.0}, "0.0"),
        ({"top_p": 1.5}, "1.5"),
        ({"seed": -1}, "-1"),
    ],
)
def test_parameters_out_of_range_are_refused(options, named):
    with pytest.raises(TrilobiteError, match=named):
        Sampler(**options)
