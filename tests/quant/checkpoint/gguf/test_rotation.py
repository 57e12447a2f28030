"""Rotated weights of Bonsai 2: the transform by its matrix, files that run, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trilobite
from tests.quant.checkpoint.gguf.test_groups import write_file
from trilobite import numerics
from trilobite.errors import CheckpointError, FormatError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.gguf.names import gguf_name
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.formats import GroupedTernary
from trilobite.quant.pipeline import quantize

F = np.float32
WIDTHS = {256: 128, 384: 128}   # rows of the small model, and a block of both


def matrix(signs, block):
    """R in float64, by the definition."""
    index = np.arange(block)
    ones = np.bitwise_count(index[:, None] & index)   # odd: -1
    blocks = np.kron(np.eye(len(signs) // block), (-1.0) ** ones / np.sqrt(block))
    return blocks * signs


def test_by_hand():
    x = np.array([[1, 2, 3, 4]], F)
    signs = np.array([1, -1, 1, 1], F)
    # Blocks of 2: (1 - 2, 1 + 2) and (3 + 4, 3 - 4), over the root of 2.
    expected = np.array([[-1, 3, 7, -1]]) / np.sqrt(2)
    np.testing.assert_allclose(numerics.rotate(x, signs, 2), expected, rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), block=st.sampled_from([2, 8, 64, 128]))
def test_the_transform_is_its_matrix_and_comes_back(seed, block):
    random = np.random.default_rng(seed)
    x = random.standard_normal((3, 256)).astype(F)
    signs = random.choice([-1, 1], 256).astype(F)
    turned = numerics.rotate(x, signs, block)
    np.testing.assert_allclose(turned, x @ matrix(signs, block).T, atol=2e-6)
    np.testing.assert_allclose(numerics.rotate_back(turned, signs, block), x, atol=2e-6)


def rotated_names(layers=2):
    inner = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    return [f"blk.{layer}.{name}.weight" for layer in range(layers) for name in inner]


def settings(**changes):
    """The metadata of a rotated file; None leaves a key out."""
    random = np.random.default_rng(1)
    stated = {
        "version": 1, "transform": "normalized-sylvester-walsh-hadamard",
        "axis": "input-last-dimension", "block_size": 128, "sign_mode": "explicit",
        "sign_widths": np.array(list(WIDTHS), np.int64),
        "sign_values": random.choice([-1, 1], sum(WIDTHS)).astype(np.int8),
        "weight_names": [*rotated_names(), "output.weight"],
        "inverse_weight_names": ["token_embd.weight"],
    } | changes
    return {f"prism.hadamard.{key}": value for key, value in stated.items() if value is not None}


def rotation_of(stated, width):
    values = stated["prism.hadamard.sign_values"].astype(F)
    return matrix(values[:256] if width == 256 else values[256:], 128)


def test_a_model_runs_in_its_rotated_basis(tmp_path):
    stated = settings()
    path = tmp_path / "bonsai2.gguf"
    matrices = write_file(path, "PTQ1_0", metadata=stated)
    with open_checkpoint(path) as checkpoint:
        for name, info in checkpoint.tensors.items():
            if len(info.shape) == 2:
                stored = matrices[gguf_name(name)]
                expected = stored @ rotation_of(stated, info.shape[1])
                np.testing.assert_allclose(checkpoint.read(name), expected, atol=2e-7)
                assert checkpoint.format(name) == GroupedTernary(128)
                assert checkpoint.stored_format(name) is None   # no codes of what it stands for
                packed = checkpoint.weight(name)
                np.testing.assert_array_equal(packed.format.dequantize(packed.codes()), stored)
    model = trilobite.load(path)
    hidden = np.random.default_rng(0).standard_normal((3, 256)).astype(F)
    turned = numerics.rotate(hidden, model.decoder.head._rotation.signs, 128)
    from trilobite.runtime.linear import make_linear

    plain = make_linear(GroupedTernary(128).quantize(matrices["output.weight"]), None)
    np.testing.assert_array_equal(model.decoder.head(hidden), plain(turned))
    np.testing.assert_allclose(
        model.decoder.embedding(np.array([5])),
        matrices["token_embd.weight"][[5]] @ rotation_of(stated, 256), atol=2e-7)


def test_the_rotated_model_computes_what_a_model_of_plain_floats_does(tmp_path):
    """The same weights turned back and stored as floats: only int8 activations differ."""
    path = tmp_path / "bonsai2.gguf"
    write_file(path, "PQ2_0", metadata=settings())
    rotated = trilobite.load(path)
    with open_checkpoint(path) as checkpoint:
        from trilobite.runtime.decoder import Decoder

        plain = Decoder(checkpoint.config, checkpoint.read)
    ids = np.arange(12)
    expected = plain.logits(plain.hidden(ids, rotated.session(12).cache, 0))
    found = rotated.logits(ids.tolist())
    assert np.abs(found - expected).max() < 0.06 * np.ptp(expected)


def test_a_rotated_model_is_quantized_from_what_it_stands_for(tmp_path):
    stated = settings()
    matrices = write_file(tmp_path / "bonsai2.gguf", "PQ2_0", metadata=stated)
    quantize(tmp_path / "bonsai2.gguf", tmp_path / "int8", "int8")
    name = "model.layers.1.mlp.down_proj.weight"
    with open_checkpoint(tmp_path / "int8") as checkpoint:
        expected = matrices[gguf_name(name)] @ rotation_of(stated, 384)
        assert np.abs(checkpoint.read(name) - expected).max() < np.abs(expected).max() / 200


@pytest.mark.parametrize("target", ["gguf", "onnx", "hf"])
def test_an_export_of_rotated_weights_is_refused(tmp_path, target):
    write_file(tmp_path / "bonsai2.gguf", "PQ2_0", metadata=settings())
    with pytest.raises(FormatError, match="rotated inputs, which no file that is written has"):
        export(tmp_path / "bonsai2.gguf", tmp_path / "out", EXPORTERS[target])


@pytest.mark.parametrize(("changes", "said"), [
    ({"version": 2}, "prism.hadamard.version is 2; it must be 1"),
    ({"transform": "haar"}, 'transform is "haar"; it must be normalized-sylvester'),
    ({"axis": "output"}, 'axis is "output"'),
    ({"gdn_v_grouped": True}, "gdn_v_grouped is true; it must be absent"),
    ({"block_size": 96}, "block_size is 96; it must be a power of two"),
    ({"block_size": 512}, "no matrix of the file with rows in blocks of 512"),
    ({"weight_names": ["blk.9.attn_q.weight"]}, 'names "blk.9.attn_q.weight", which is no matrix'),
    ({"sign_mode": "random"}, 'sign_mode is "random"; it must be identity or explicit'),
    ({"sign_values": None}, "sign_values is null; it must be an array of integers"),
    ({"sign_values": np.ones(9, np.int8)}, "must be 1 or -1, 640 of them"),
    ({"sign_values": np.full(640, 3, np.int8)}, "must be 1 or -1, 640 of them"),
    ({"sign_widths": np.array([256, 384, 256, -256], np.int64)}, "must be 1 or -1"),
    ({"sign_widths": np.array([512, 128], np.int64)}, "has no signs for the rows of 256"),
])
def test_what_would_not_be_applied_is_refused(tmp_path, changes, said):
    path = tmp_path / "bad.gguf"
    write_file(path, "PQ2_0", metadata=settings(**changes))
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(path)
    assert said in str(error.value)


def test_all_signs_may_be_one(tmp_path):
    path = tmp_path / "identity.gguf"
    changes = {"sign_mode": "identity", "sign_widths": None, "sign_values": None}
    matrices = write_file(path, "PQ2_0", metadata=settings(**changes))
    with open_checkpoint(path) as checkpoint:
        expected = matrices["output.weight"] @ matrix(np.ones(256), 128)
        np.testing.assert_allclose(checkpoint.read("lm_head.weight"), expected, atol=2e-7)
