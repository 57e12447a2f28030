import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import TrilobiteError
from trilobite.runtime.sampling import Sampler as Picker
from trilobite.runtime.sampling import Sampling

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))


def Sampler(*arguments, **options):  # noqa: N802 - what most tests are about
    return Picker(Sampling(*arguments, **options))


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
        ({"min_p": -0.1}, "-0.1"),
        ({"min_p": 1.5}, "1.5"),
        ({"repetition_penalty": 0.0}, "0.0"),
        ({"repetition_penalty": float("inf")}, "inf"),
    ],
)
def test_parameters_out_of_range_are_refused(options, named):
    with pytest.raises(TrilobiteError, match=named):
        Sampler(**options)


def test_min_p_keeps_what_is_probable_beside_the_most_probable():
    # 0.5 * 0.4 = 0.2: 0.5 and 0.25 are kept.
    assert set(draws(Sampler(temperature=1.0, min_p=0.4), LOGITS)) == {0, 1}
    assert set(draws(Sampler(temperature=1.0, min_p=1.0), LOGITS)) == {0}


@given(seed=st.integers(0, 2**32 - 1), min_p=st.floats(0.01, 1))
def test_min_p_keeps_what_transformers_keeps(seed, min_p):
    torch = pytest.importorskip("torch")
    warpers = pytest.importorskip("transformers.generation.logits_process")
    logits = (3 * np.random.default_rng(seed).standard_normal(20)).astype(np.float32)
    theirs = warpers.MinPLogitsWarper(min_p)(None, torch.from_numpy(logits[None]))[0]
    kept = set(np.flatnonzero(np.isfinite(theirs.numpy())).tolist())
    assert set(draws(Sampler(temperature=1.0, min_p=min_p), logits, 50)) <= kept


@given(
    seed=st.integers(0, 2**32 - 1), penalty=st.floats(0.5, 2, width=32),
    prompt=st.lists(st.integers(0, 19), min_size=1, max_size=8),
)
def test_repetition_is_punished_as_in_transformers(seed, penalty, prompt):
    torch = pytest.importorskip("torch")
    processors = pytest.importorskip("transformers.generation.logits_process")
    logits = (3 * np.random.default_rng(seed).standard_normal(20)).astype(np.float32)
    processor = processors.RepetitionPenaltyLogitsProcessor(penalty)
    picker = Picker(Sampling(repetition_penalty=penalty), prompt)
    for _ in range(6):   # what was picked counts, too
        theirs = processor(torch.tensor([prompt]), torch.from_numpy(logits[None].copy()))[0]
        prompt = [*prompt, picker(logits)]
        assert prompt[-1] == int(theirs.argmax())


def test_a_penalty_cannot_make_a_logit_infinite():
    assert Picker(Sampling(repetition_penalty=1e-30), [0])(np.float32([1e30, 1.0])) == 0
