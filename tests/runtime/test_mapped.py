"""A model whose file is mapped computes what one does whose file is read."""

import numpy as np
import pytest

import trilobite
from support.random_checkpoint import write_random_checkpoint
from trilobite.model import LINEAR_NAMES, ModelConfig
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Fp8, Int4, Int8, Ternary
from trilobite.runtime.decoder import Decoder

# The embedding and the matrices of the feed-forward are over 1 MiB: what is smaller is read.
CONFIG = ModelConfig(
    family="bitnet", hidden_size=512, intermediate_size=2560, num_layers=1, num_heads=8,
    num_kv_heads=4, head_dim=64, vocab_size=4096, max_position_embeddings=128, rms_norm_eps=1e-5,
    rope_theta=1e4, activation="relu2", tie_word_embeddings=True, sub_norm=True, bitlinear=True,
)
FORMS = [Ternary("base3"), Ternary("2bit"), Int4(32), Int8(), Fp8()]
TOKENS = list(range(20))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_same_bits(tmp_path, form):
    folder = write_random_checkpoint(tmp_path / "model", CONFIG, form)
    logits = []
    for mmap in (True, False):
        session = trilobite.load(folder, mmap=mmap).session(len(TOKENS) + 1)
        logits.append([session.feed(TOKENS), session.feed([7])])
    for mapped, read in zip(*logits, strict=True):
        np.testing.assert_array_equal(mapped, read, strict=True)
        assert np.ptp(mapped) > 0


@pytest.mark.parametrize("form", [Int8(), Fp8()], ids=str)
def test_weights_in_the_stored_order_are_not_copied(tmp_path, form):
    folder = write_random_checkpoint(tmp_path / "model", CONFIG, form)
    given = {}
    with open_checkpoint(folder, mmap=True) as checkpoint:

        def weight(name):
            given[name] = checkpoint.weight(name)
            return given[name]

        decoder = Decoder(CONFIG, weight)
    embedding = given["model.embed_tokens.weight"].tensors["packed"]
    assert not embedding.flags.owndata
    assert np.shares_memory(decoder.head._weight, embedding)
    for name in LINEAR_NAMES:
        stored = given[f"model.layers.0.{name}.weight"].tensors["packed"]
        linear = decoder.linear(0, name)
        assert np.shares_memory((linear._fused or linear)._weight, stored)
        assert stored.flags.owndata == (stored.nbytes < 1 << 20)
