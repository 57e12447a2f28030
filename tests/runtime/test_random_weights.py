"""Random weights: valid in every format, the same for a seed, activations of the same size."""

import numpy as np
import pytest

from support.format_table import FORMAT_TABLE
from trilobite.errors import FormatError, TrilobiteError
from trilobite.model import ModelConfig
from trilobite.quant.formats import Int4, Ternary
from trilobite.runtime.random_weights import random_weights

CONFIG = ModelConfig(
    family="bitnet", hidden_size=128, intermediate_size=640, num_layers=2, num_heads=2,
    num_kv_heads=1, head_dim=64, vocab_size=300, max_position_embeddings=64, rms_norm_eps=1e-5,
    rope_theta=1e4, sub_norm=True, qkv_bias=True,
)
UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize("case", FORMAT_TABLE, ids=str)
def test_weights_are_as_the_format_stores_them(case):
    weight = random_weights(CONFIG, case.format)(UP)
    for suffix, layout in case.format.layout((640, 128)).items():
        tensor = weight.tensors[suffix]
        assert (tensor.shape, tensor.dtype) == (layout.shape, layout.dtype)
    rows = weight.dequantize()   # refuses codes that no encoder writes
    assert rows.std() == pytest.approx(128**-0.5, rel=0.35)


def test_every_tensor_has_its_shape_and_the_unquantized_are_float():
    weights = random_weights(CONFIG, Ternary())
    for name, shape in CONFIG.tensor_shapes().items():
        tensor = weights(name)
        assert tensor.shape == shape
        assert isinstance(tensor, np.ndarray) == (len(shape) == 1)
    assert weights("lm_head.weight").format.name == "int8"


def test_the_seed_and_the_name_decide_alone():
    def stored(seed, name):
        return random_weights(CONFIG, Ternary(), seed)(name).tensors["packed"]

    weights = random_weights(CONFIG, Ternary(), 1)
    weights("model.norm.weight")
    assert np.array_equal(weights(UP).tensors["packed"], stored(1, UP))
    assert not np.array_equal(stored(1, UP), stored(2, UP))
    assert not np.array_equal(stored(1, UP), stored(1, UP.replace("up", "gate")))


def test_a_shape_that_the_format_cannot_hold_is_refused_at_once():
    odd = ModelConfig(**{**vars(CONFIG), "intermediate_size": 100})
    with pytest.raises(FormatError, match=r"mlp.down_proj: K = 100 .* group size 32"):
        random_weights(odd, Int4(32))


def test_a_negative_seed_is_refused_at_once():
    with pytest.raises(TrilobiteError, match="The seed must be 0 or a positive integer, not -1"):
        random_weights(CONFIG, Ternary(), -1)
