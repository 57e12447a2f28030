"""Mixtures of experts: who is chosen, with which share, and the same bits in any company."""

import gc
import weakref

import numpy as np
import pytest
import torch

import trilobite
from support.random_checkpoint import write_random_checkpoint
from trilobite.errors import TrilobiteError
from trilobite.model import Experts, ModelConfig
from trilobite.numerics import sum_lanes
from trilobite.numerics.routing import dot_lanes, largest, softmax
from trilobite.quant.formats import GroupedTernary, Int4, Int8, Mxfp4, Ternary
from trilobite.runtime.experts import Router
from trilobite.runtime.kernels.routing import add_shares

CONFIG = ModelConfig(
    family="qwen3_moe", hidden_size=64, intermediate_size=96, num_layers=2, num_heads=4,
    num_kv_heads=2, head_dim=16, vocab_size=64, max_position_embeddings=96, rms_norm_eps=1e-6,
    rope_theta=1e4, qk_norm=True, experts=Experts(8, 3, 32, normalized=True),
)
TOKENS = [int(token) for token in np.random.default_rng(0).integers(0, 64, 40)]


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_the_router_chooses_what_torch_chooses(normalized, biased):
    generator = np.random.default_rng(1)
    h = generator.standard_normal((50, 48), np.float32)
    weight = generator.standard_normal((16, 48), np.float32)
    bias = generator.standard_normal(16).astype(np.float32) if biased else None
    route = Router(Experts(16, 4, 32, normalized), weight, bias)(h)
    logits = torch.from_numpy(h.astype(np.float64) @ weight.T + (0 if bias is None else bias))
    shares, chosen = torch.topk(torch.softmax(logits, -1), 4)
    if normalized:
        shares /= shares.sum(-1, keepdim=True)
    order = chosen.argsort(-1)
    np.testing.assert_array_equal(route.chosen, chosen.gather(1, order))
    np.testing.assert_allclose(route.shares, shares.gather(1, order), rtol=3e-5)


def test_of_equal_logits_the_first_experts_are_chosen():
    route = Router(Experts(6, 3, 32, normalized=True), np.zeros((6, 32), np.float32), None)(
        np.ones((1, 32), np.float32))
    assert route.chosen.tolist() == [[0, 1, 2]]
    places = np.empty(3, np.int32)
    largest(np.array([1, 2, 2, 0, 2], np.float32), places)
    assert places.tolist() == [1, 2, 4]


@pytest.mark.parametrize("count", [1, 2, 17, 64, 1024])
@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e30])
def test_softmax_is_within_its_error(count, size):
    values = (size * np.random.default_rng(count).standard_normal(count)).astype(np.float32)
    wide = values.astype(np.float64)
    expected = np.exp(wide - wide.max())
    expected /= expected.sum()
    found = values.copy()
    softmax(found)
    assert np.abs(found - expected).max() <= 8e-7


def test_a_dot_product_has_the_order_of_sum_lanes():
    a, b = np.random.default_rng(2).standard_normal((2, 75)).astype(np.float32)
    assert dot_lanes(a, b) == sum_lanes(a * b)


def test_shares_are_added_row_by_row():
    out = np.ones((3, 2), np.float32)
    add_shares(out, np.array([2, 0]), np.array([[1, 2], [3, 4]], np.float32),
               np.array([0.5, 2], np.float32))
    assert out.tolist() == [[7, 9], [1, 1], [1.5, 2]]


@pytest.mark.parametrize("form", [Ternary(), GroupedTernary(32), Int4(32), Int8(), Mxfp4()],
                         ids=str)
def test_the_same_bits_in_any_company(tmp_path, form):
    folder = write_random_checkpoint(tmp_path / "model", CONFIG, form)
    whole = trilobite.load(folder).logits(TOKENS)
    model = trilobite.load(folder)
    session = model.session(len(TOKENS))
    pieces = [session.feed(TOKENS[:7]), session.feed(TOKENS[7:8]), session.feed(TOKENS[8:])]
    np.testing.assert_array_equal(np.concatenate(pieces), whole, strict=True)
    sessions = [model.session(len(TOKENS)) for _ in range(3)]
    for place, session in enumerate(sessions):
        session.feed(TOKENS[:5 * place + 1])
    alone = [whole[5 * place + 1] for place in range(3)]
    together = model.step(sessions, [TOKENS[5 * place + 1] for place in range(3)])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("form", [Int4(32), Int4(32, symmetric=False), Mxfp4(), Int8()], ids=str)
def test_experts_are_read_when_they_are_chosen_and_not_copied(tmp_path, form):
    config = ModelConfig(**{
        **vars(CONFIG), "hidden_size": 2048, "experts": Experts(4, 1, 1088, normalized=True),
        "num_layers": 1,
    })
    folder = write_random_checkpoint(tmp_path / "model", config, form)
    model = trilobite.load(folder)
    experts = model.decoder.layers[0].experts
    assert experts.loaded == []
    model.logits(TOKENS[:1])
    assert len(experts.loaded) == 1
    (expert,) = experts._loaded.values()
    linear = expert.inputs[0]
    kernel = linear._fused
    if kernel is None:
        pytest.skip("this CPU has no kernel for the stored order")
    assert not kernel._weight.flags.owndata
    assert kernel._weight.base is not None
    read = trilobite.load(folder, mmap=False)
    assert read.decoder.layers[0].experts.loaded == [0, 1, 2, 3]
    np.testing.assert_array_equal(model.logits(TOKENS), read.logits(TOKENS))


def test_a_step_reads_as_many_experts_as_a_token_goes_to(tmp_path):
    model = trilobite.load(write_random_checkpoint(tmp_path / "model", CONFIG, Int8()))
    decoder = model.decoder
    before = decoder.step_nbytes
    model.logits(TOKENS)
    sizes = [layer.experts.nbytes - layer.experts.router.nbytes for layer in decoder.layers]
    counts = [len(layer.experts.loaded) for layer in decoder.layers]
    assert min(counts) > 3
    read = sum(3 * size // count for size, count in zip(sizes, counts, strict=True))
    assert decoder.step_nbytes - before == read
    assert decoder.nbytes - decoder.embedding.nbytes - before == sum(sizes)


def test_the_file_is_closed_with_the_model(tmp_path):
    model = trilobite.load(write_random_checkpoint(tmp_path / "model", CONFIG, Int8()))
    gone = weakref.ref(model.decoder)
    model.logits(TOKENS)
    del model
    gc.collect()
    assert gone() is None


def test_layers_with_experts_are_not_traced(tmp_path):
    model = trilobite.load(write_random_checkpoint(tmp_path / "model", CONFIG, Int8()))
    with pytest.raises(TrilobiteError, match="Layer 0 has experts"):
        model.trace(TOKENS, 0)
