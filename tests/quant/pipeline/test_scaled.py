"""Channel-wise scaling by the weights alone: by hand, folded into the model, resumable."""

import numpy as np
import pytest
import torch

import trilobite
from support.checkpoints import edit_tensors
from support.llama_folder import contents, write_llama
from trilobite.errors import FormatError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Int4, Int4Fp8
from trilobite.quant.methods import choose_method
from trilobite.quant.methods.cas import chosen, equal_columns
from trilobite.quant.pipeline import quantize

LAYER = "model.layers.1."
NORM = LAYER + "post_attention_layernorm.weight"


@pytest.fixture
def uneven(tmp_path):
    """A model whose columns of gate and up differ by 16 in every group."""
    write_llama(tmp_path / "llama")

    def stretch(tensors):
        for name in [name for name in tensors if name.endswith(("gate_proj.weight",
                                                               "up_proj.weight"))]:
            tensors[name] *= 4.0 ** (torch.arange(tensors[name].shape[1]) % 3)

    edit_tensors(tmp_path / "llama", stretch)
    return tmp_path / "llama"


def test_scales_worked_out_by_hand():
    scales = equal_columns([np.array([1, 3, 0]), np.array([0, 1, 0])])
    assert scales.dtype == np.float32
    np.testing.assert_allclose(scales, [2, 0.5, 1])   # the geometric mean of 1 and 4 is 2
    np.testing.assert_array_equal(equal_columns([np.zeros(3)]), 1)


def test_no_scaling_unless_another_strength_clearly_wins():
    assert [chosen(errors) for errors in ([1, 0.96, 0.99], [1, 0.94, 0.93], [0, 0], [1, 2])] == [
        0, 2, 0, 0]


def test_columns_become_more_equal_and_the_model_stays_the_same(uneven, tmp_path):
    """INT8 for every matrix, so that next to no rounding hides a factor left over."""
    manifest = quantize(uneven, tmp_path / "cas", "int4-fp8,group_size=32", method="cas",
                        embedding="keep", tensor_formats=["_proj=int8"])
    assert (manifest.method, manifest.calibration) == ("cas", None)
    with open_checkpoint(uneven) as before, open_checkpoint(tmp_path / "cas") as after:
        scales = before.read(NORM) / after.read(NORM)
        up = after.weight(f"{LAYER}mlp.up_proj.weight").dequantize()
        exact = before.read(f"{LAYER}mlp.up_proj.weight") * scales
    assert scales.max() > 1.5 * scales.min()
    np.testing.assert_allclose(up, exact, atol=np.abs(exact).max() / 127)
    tokens = np.random.default_rng(0).integers(0, 48, 40)
    exact, scaled = (trilobite.load(path).logits(tokens) for path in (uneven, tmp_path / "cas"))
    assert np.square(scaled - exact).mean() < 0.001 * exact.var()


def test_scaling_pays_where_columns_differ(uneven, tmp_path):
    """Of matrices whose columns differ by 16 within a group, by the error of what they compute."""
    tokens = np.random.default_rng(0).integers(0, 48, 40)
    exact = trilobite.load(uneven).logits(tokens)
    errors = {}
    for method in ("rtn", "cas"):
        quantize(uneven, tmp_path / method, "int4-fp8,group_size=32", method=method)
        errors[method] = np.square(trilobite.load(tmp_path / method).logits(tokens) - exact).mean()
    assert errors["cas"] < 0.9 * errors["rtn"]


def test_columns_that_are_equal_are_left_alone(tmp_path):
    """Weights of one magnitude: nothing can be won, and the folder is that of rounding."""
    write_llama(tmp_path / "llama")

    def level(tensors):
        for name in [name for name in tensors if name.endswith(("gate_proj.weight",
                                                               "up_proj.weight"))]:
            tensors[name] = torch.sign(tensors[name]) * 0.07

    edit_tensors(tmp_path / "llama", level)
    for method in ("rtn", "cas"):
        quantize(tmp_path / "llama", tmp_path / method, "int4-fp8,group_size=32", method=method)
    file = "model.safetensors"
    assert contents(tmp_path / "cas")[file] == contents(tmp_path / "rtn")[file]


def test_what_is_kept_is_not_scaled(uneven, tmp_path):
    quantize(uneven, tmp_path / "cas", "int4-fp8,group_size=32", method="cas",
             tensor_formats=["up_proj=keep"])
    with open_checkpoint(uneven) as before, open_checkpoint(tmp_path / "cas") as after:
        for name in (NORM, LAYER + "mlp.up_proj.weight"):
            np.testing.assert_array_equal(after.read(name), before.read(name))


def test_the_same_input_gives_the_same_bytes(uneven, tmp_path):
    for name in ("one", "two"):
        quantize(uneven, tmp_path / name, "int4-fp8,group_size=32", method="cas")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_it_makes_the_format_of_its_paper():
    assert not choose_method("cas", Int4Fp8()).calibrates
    with pytest.raises(FormatError, match="cas does not make int4; it makes int4-fp8"):
        choose_method("cas", Int4())
