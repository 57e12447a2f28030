"""Per-tensor int8 with a shadow: by hand, against float, by properties, and on a model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilobite.api.models import load
from trilobite.errors import FormatError, TrilobiteError
from trilobite.model import LINEAR_NAMES
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Int8
from trilobite.sim.studies.shadow import (
    ActivationRanges,
    HotChannels,
    ShadowLinear,
    ShadowPlacement,
    clip_scale,
    measure_ranges,
    pack_per_tensor,
    use_shadow,
)

F = np.float32


def linear(weight, scale, **options):
    return ShadowLinear(pack_per_tensor(np.asarray(weight, F)), None, scale, **options)


def test_by_hand():
    # The weight's scale is 127 / 127 = 1, so its codes are itself. The activations' is 0.5: they
    # hold up to 63.5, and 100 leaves 36.5 for the shadow. The tie 0.25 / 0.5 goes to the even 0.
    weight = [[127, 2, -3], [0, 1, 5]]
    x = np.array([[1, 0.25, 100], [2, -3, -64]], F)
    one = linear(weight, 0.5)
    q, scales = one.activations(x)
    assert q.tolist() == [[2, 0, 127], [4, -6, -127]]
    assert scales.tolist() == [0.5, 0.5]
    assert one.integer(q).tolist() == [[2 * 127 - 3 * 127, 635], [4 * 127 - 12 + 381, -641]]
    # Sums times 0.5, and shadows 36.5 and -0.5 (64 - 63.5) times the third column.
    assert one(x).tolist() == [[-63.5 - 109.5, 317.5 + 182.5], [438.5 + 1.5, -320.5 - 2.5]]
    lost = linear(weight, 0.5, shadow=False)
    assert lost(x).tolist() == [[-63.5, 317.5], [438.5, -320.5]]
    bias = ShadowLinear(pack_per_tensor(np.asarray(weight, F)), np.array([1, -1], F), 0.5)
    assert bias(x).tolist() == [[-172, 499], [441, -324]]


def test_hot_channels_are_kept_and_give_what_the_others_give():
    codes = np.array([[3, -5, 7], [2, 0, 1]], np.int8)
    hot = HotChannels(codes, F(0.5), [2])
    assert hot.nbytes == 8
    assert hot.columns(np.array([0, 2])).tolist() == [[1.5, 1.0], [3.5, 0.5]]
    assert (hot.hits, hot.misses) == (1, 1)
    x = np.random.default_rng(0).standard_normal((5, 32)).astype(F) * 40
    weight = np.random.default_rng(1).standard_normal((8, 32))
    cold, warm = linear(weight, 0.25), linear(weight, 0.25, hot=range(32))
    assert np.array_equal(cold(x), warm(x))
    assert cold.hot.hits == warm.hot.misses == 0 < cold.hot.misses == warm.hot.hits


def float_reference(one, x):
    """x W^T in float64, with the weights that the linear has."""
    return x.astype(np.float64) @ one.hot.columns(np.arange(one.shape[1])).astype(np.float64)


def test_where_everything_is_an_outlier_it_is_the_float_product():
    random = np.random.default_rng(2)
    x = (random.uniform(1, 9, (6, 48)) * random.choice([-1, 1], (6, 48))).astype(F)
    one = linear(random.standard_normal((10, 48)), 1e-3)
    q, _ = one.activations(x)
    assert set(np.unique(q)) == {-127, 127}
    expected = float_reference(one, x)
    np.testing.assert_allclose(one(x), expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.1, 1.0]))
def test_what_is_lost_is_at_most_half_a_step_per_channel(seed, scale):
    random = np.random.default_rng(seed)
    x = (random.standard_normal((4, 24)) * 10.0 ** random.integers(-2, 3, (1, 24))).astype(F)
    one = linear(random.standard_normal((5, 24)), scale)
    columns = one.hot.columns(np.arange(24)).astype(np.float64)
    worst = 0.5 * scale * np.abs(columns).sum(axis=0) + 1e-5 * np.abs(x) @ np.abs(columns)
    assert (np.abs(one(x) - float_reference(one, x)) <= worst).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_a_token_gives_the_same_bits_alone_and_among_others(seed):
    random = np.random.default_rng(seed)
    x = (random.standard_normal((7, 16)) * 3).astype(F)
    one = linear(random.standard_normal((6, 16)), 0.02)
    together = one(x)
    for token, row in enumerate(x):
        assert np.array_equal(together[token:token + 1].view(np.int32),
                              one(row[None]).view(np.int32))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_without_outliers_there_is_no_shadow(seed):
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (5, 16)).astype(F)
    weight = random.standard_normal((6, 16))
    one, plain = linear(weight, 1 / 127), linear(weight, 1 / 127, shadow=False)
    assert np.array_equal(one(x), plain(x))
    assert one.hot.hits == one.hot.misses == 0


def test_one_scale_holds_the_whole_weight():
    weight = np.random.default_rng(3).standard_normal((6, 20)).astype(F)
    packed = pack_per_tensor(weight)
    assert len(np.unique(packed.tensors["scale"])) == 1
    assert np.abs(packed.codes().values).max() == 127
    assert np.abs(packed.dequantize() - weight).max() <= 0.5001 * packed.tensors["scale"].max()
    assert not pack_per_tensor(np.zeros((2, 3))).dequantize().any()


def test_the_clip_sets_outlier_channels_aside():
    largest = np.array([1, 50, 2, 3, 4, 40, 5, 6], F)
    assert clip_scale(largest, 0) == 50
    assert clip_scale(largest, 0.01) == 40     # at least one
    assert clip_scale(largest, 0.25) == 6
    assert clip_scale(np.zeros(4, F), 0) > 0
    with pytest.raises(TrilobiteError, match="0 to below 1"):
        clip_scale(largest, 1)
    ranges = ActivationRanges(largest, F(6), np.array([0, 9, 0, 0, 0, 3, 0, 0]))
    assert ranges.hot(1.0) == [1, 5]
    assert ranges.hot(0.2) == [1]
    assert ranges.importance == pytest.approx(50 / 6)


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(FormatError, match="positive and finite"):
        linear(np.ones((2, 2)), scale)


def test_other_weights_and_channels_are_refused():
    with pytest.raises(FormatError, match="one scale"):
        ShadowLinear(Int8().quantize(np.array([[1, 2], [3, 9]], F)), None, 1.0)
    with pytest.raises(FormatError, match="0 to 1, not"):
        linear(np.ones((2, 2)), 1.0, hot=[2])


@pytest.fixture(scope="module")
def llama():
    model = load("demo-llama")
    tokens = np.array(model.held_out_tokens()[:256]).reshape(2, 128)
    with open_checkpoint("demo-llama") as checkpoint:
        weights = {f"model.layers.{layer}.{name}": checkpoint.read(
            f"model.layers.{layer}.{name}.weight").astype(F)
            for layer in range(model.config.num_layers) for name in LINEAR_NAMES}
    return model, weights, measure_ranges(model.decoder, tokens, 0.01), tokens


def test_a_models_ranges_are_those_of_its_inputs(llama):
    _, weights, ranges, tokens = llama
    assert set(ranges) == set(weights)
    fresh = load("demo-llama")
    seen = [fresh.intermediates(sequence) for sequence in tokens]
    for name, one in ranges.items():
        inputs = np.concatenate([found[f"{name}.input"] for found in seen])
        assert np.array_equal(one.largest, np.abs(inputs).max(axis=0))
        assert one.above.sum() == (np.abs(inputs) > one.clip).sum()
        outside = (one.above > 0).sum()
        assert 1 <= outside <= max(1, int(0.01 * len(one.above)))


def test_a_model_with_a_shadow_stays_near_the_float_model(llama):
    _, weights, ranges, tokens = llama
    model = load("demo-llama")
    exact = model.logits(tokens[0])
    made = use_shadow(model.decoder, weights, ranges, ShadowPlacement())
    assert len(made) == 7 * model.config.num_layers
    near = model.logits(tokens[0])
    assert sum(one.hot.hits + one.hot.misses for one in made) > 0
    bare = use_shadow(model.decoder, weights, ranges, ShadowPlacement(pruned=1.0))
    far = model.logits(tokens[0])
    assert sum(one.hot.hits + one.hot.misses for one in bare) == 0
    assert np.abs(near - exact).mean() < np.abs(far - exact).mean()
    half = use_shadow(model.decoder, weights, ranges, ShadowPlacement(pruned=0.5))
    model.logits(tokens[0])
    assert 0 < sum(one.hot.hits + one.hot.misses > 0 for one in half) <= len(half) // 2
    with pytest.raises(TrilobiteError, match="pruned must be 0 to 1"):
        use_shadow(model.decoder, weights, ranges, ShadowPlacement(pruned=2))
