"""GPTQ, AWQ and compressed-tensors: the numbers their own tools give, and the codes as they are."""

import re

import numpy as np
import pytest
import torch

import trilobite
from support.checkpoints import edit_config, edit_tensors
from support.packed_checkpoints import (
    COMPRESSED,
    write_awq,
    write_compressed,
    write_fp8_tiles,
    write_gptq,
)
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.affine import unpack_words
from trilobite.quant.formats import Int2, Int3, Int4, Int8
from trilobite.quant.pipeline import quantize

Q = "model.layers.0.self_attn.q_proj.weight"
BASE = Q.removesuffix("weight")
EXACT = {
    "int4-group": Int4(32), "int4-group-asymmetric": Int4(32, symmetric=False),
    "int3-channel": Int3(None, symmetric=True), "int8-channel-packed": Int8(),
    "int8-channel": Int8(), "int8-tensor": Int8(),
}


def check(folder, numbers, form):
    """Every linear reads as ``numbers``, in blocks too, and its codes stand for the same."""
    with open_checkpoint(folder) as checkpoint:
        assert set(numbers) == set(checkpoint.config.linear_weights())
        for name, expected in numbers.items():
            np.testing.assert_array_equal(checkpoint.read(name), expected)
            np.testing.assert_array_equal(checkpoint.rows(name, 3, 7), expected[3:7])
            assert checkpoint.format(name) is None
            assert checkpoint.stored_format(name) == form
            if form is not None:
                codes = checkpoint.encoded(name, 0, len(expected))
                np.testing.assert_array_equal(form.dequantize(codes), expected)
                packed = form.unpack(form.pack(codes), expected.shape)
                np.testing.assert_array_equal(form.dequantize(packed), expected)


def test_words_by_hand():
    # Codes 1, 2, 3, 4 of 3 bits: 0b100_011_010_001; code 10 lies across the first two words.
    codes = np.arange(1, 33) % 8
    stream = sum(int(code) << 3 * i for i, code in enumerate(codes))
    words = np.array([[stream >> 32 * i & 0xFFFFFFFF for i in range(3)]], np.uint32).view(np.int32)
    assert words[0, 0] & 0xFFF == 0b100_011_010_001
    np.testing.assert_array_equal(unpack_words(words, 3, 32), [codes])


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_tensors_reads_as_the_package_does(copy_of, kind):
    folder = copy_of("llama")
    check(folder, write_compressed(folder, kind), EXACT.get(kind))


@pytest.mark.parametrize(("bits", "form"), [(2, Int2), (3, Int3), (4, Int4), (8, None)])
@pytest.mark.parametrize("version", ["gptq", "gptq_v2"])
def test_gptq(copy_of, bits, form, version):
    folder = copy_of("llama")
    numbers = write_gptq(folder, bits, 32, version)
    check(folder, numbers, form and form(32, symmetric=False))


@pytest.mark.parametrize(("height", "width"), [(128, 128), (32, 32), (24, 40)])
def test_fp8_with_a_scale_per_tile(copy_of, height, width):
    folder = copy_of("llama")
    check(folder, write_fp8_tiles(folder, height, width), None)


@pytest.mark.parametrize(("change", "message"), [
    ({"weight_block_size": [128]}, '"weight_block_size" is [128]'),
    ({"weight_block_size": None}, "two extents"),
    ({"weight_block_size": [16, 16]}, "weight_scale_inv has shape"),
    ({"activation_scheme": "static"}, '"activation_scheme" is "static"'),
    ({"fmt": "e5m2"}, '"fmt" is "e5m2"'),
])
def test_fp8_tiles_that_are_not_understood(copy_of, change, message):
    folder = copy_of("llama")
    write_fp8_tiles(folder, 32, 32)
    edit_config(folder, lambda config: config["quantization_config"].update(change))
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(folder)


def test_gptq_in_another_order_of_columns(copy_of):
    folder = copy_of("llama")
    check(folder, write_gptq(folder, 4, 32, act_order=True), None)


@pytest.mark.parametrize("version", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("stored_as", ["gptq", "gptq_v2"])
def test_symmetric_codes_have_one_zero_point_however_it_was_stored(copy_of, version, stored_as):
    folder = copy_of("llama")
    numbers = write_gptq(folder, 4, 32, stored_as, symmetric=True)
    edit_config(folder, lambda config: config["quantization_config"].update(
        checkpoint_format=version))
    check(folder, numbers, Int4(32, symmetric=False))


def test_symmetric_codes_with_another_zero_point_are_refused(copy_of):
    folder = copy_of("llama")
    write_gptq(folder, 4, 32)
    edit_config(folder, lambda config: config["quantization_config"].update(sym=True))
    with pytest.raises(CheckpointError, match=r"all must be 7 or all 8"), \
            open_checkpoint(folder) as checkpoint:
        checkpoint.read(Q)


@pytest.mark.parametrize("act_order", [False, True])
def test_gptq_with_a_shorter_last_group(copy_of, act_order):
    folder = copy_of("llama")
    check(folder, write_gptq(folder, 4, 48, act_order=act_order), None)


def test_settings_that_gptqmodel_only_notes(copy_of):
    folder = copy_of("llama")
    numbers = write_gptq(folder, 4, 32)
    edit_config(folder, lambda config: config["quantization_config"].update(
        offload_to_disk=True, pack_impl="cpu", mock_quantization=False, adapter=None, gptaq=None,
        meta={"quantizer": ["gptqmodel:5.0.0"], "act_group_aware": True}, dynamic=None,
    ))
    check(folder, numbers, Int4(32, symmetric=False))


def test_awq_as_gptqmodel_states_it(copy_of):
    folder = copy_of("llama")
    numbers = write_awq(folder, 32)
    edit_config(folder, lambda config: config["quantization_config"].update(
        format="gemm", checkpoint_format="gemm", sym=False, desc_act=False, lm_head=False,
        pack_dtype="int32", meta={"quantizer": ["gptqmodel:5.0.0"]},
    ))
    check(folder, numbers, Int4(32, symmetric=False))


def test_dense_sparsity_is_none(copy_of):
    folder = copy_of("llama")
    numbers = write_compressed(folder, "int4-group")
    dense = {"format": "dense", "sparsity_structure": "unstructured", "global_sparsity": 0.1}
    edit_config(folder, lambda config: config["quantization_config"].update(sparsity_config=dense))
    check(folder, numbers, Int4(32))


def test_zero_biases_are_dropped_and_others_refused(copy_of):
    folder = copy_of("llama")
    numbers = write_gptq(folder, 4, 32)
    edit_tensors(folder, lambda tensors: tensors.update({BASE + "bias": torch.zeros(64)}))
    check(folder, numbers, Int4(32, symmetric=False))
    edit_tensors(folder, lambda tensors: tensors[BASE + "bias"].fill_(0.5))
    with pytest.raises(CheckpointError, match=r"q_proj.bias is not zero.* would be lost"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", [
    "model.rotary_emb.inv_freq", "model.layers.0.self_attn.k_scale",
    "model.layers.1.self_attn.v_proj.output_scale",
])
def test_tensors_that_the_numbers_do_not_need(copy_of, name):
    folder = copy_of("llama")
    edit_tensors(folder, lambda tensors: tensors.update({name: torch.ones(1)}))
    with open_checkpoint(folder) as checkpoint:
        assert name not in checkpoint.tensors


def test_gptq_with_a_group_per_row(copy_of):
    folder = copy_of("llama")
    check(folder, write_gptq(folder, 4, -1), Int4(None, symmetric=False))


def test_awq(copy_of):
    folder = copy_of("llama")
    check(folder, write_awq(folder, 32), Int4(32, symmetric=False))


def test_codes_are_carried_into_our_own_format(copy_of, tmp_path):
    folder = copy_of("llama")
    numbers = write_gptq(folder, 4, 32)
    out = tmp_path / "ours"
    manifest = quantize(folder, out, "int4,group_size=32,asymmetric")
    linear = [record for record in manifest.tensors if record.name in numbers]
    assert {record.nmse for record in linear} == {0.0}
    with open_checkpoint(out) as checkpoint:
        for name, expected in numbers.items():
            np.testing.assert_array_equal(checkpoint.read(name), expected)
    assert trilobite.load(out).logits([1, 2, 3]).shape == (3, 128)


@pytest.mark.parametrize(("edit", "message"), [
    (lambda t: t.pop(BASE + "scales"), f"the tensor {BASE}scales is in no file"),
    (lambda t: t.pop(BASE + "qzeros"), f"the tensor {BASE}qzeros is in no file"),
    (lambda t: t.update({BASE + "qweight": torch.zeros(9, 64, dtype=torch.int32)}),
     f"{BASE}qweight has shape [9, 64]; config.json calls for [8, 64]"),
    (lambda t: t.update({BASE + "qweight": torch.zeros(8, 64)}), "stored as F32; it must be I32"),
    (lambda t: t[BASE + "g_idx"].fill_(7), f"{BASE}g_idx holds 7 to 7; there are 2 groups"),
    (lambda t: t[BASE + "g_idx"].fill_(-1), f"{BASE}g_idx holds -1 to -1; there are 2 groups"),
    (lambda t: t[BASE + "scales"].fill_(float("nan")), "weights must be finite"),
])
def test_a_damaged_gptq_checkpoint_is_named(copy_of, edit, message):
    folder = copy_of("llama")
    write_gptq(folder, 4, 32)
    edit_tensors(folder, edit)
    with pytest.raises(CheckpointError, match=re.escape(message)), \
            open_checkpoint(folder) as checkpoint:
        checkpoint.read(Q)


@pytest.mark.parametrize(("edit", "message"), [
    (lambda t: t.pop(BASE + "weight_scale"), f"the tensor {BASE}weight_scale is in no file"),
    (lambda t: t.update({BASE + "weight_packed": torch.zeros(64, 99, dtype=torch.int32)}),
     "that packs no weight of shape [64, 64]"),
    (lambda t: t.update({BASE + "weight_scale": torch.ones(64, 3)}), "groups that divide K"),
    (lambda t: t.update({BASE + "weight_scale": torch.ones(0)}), "groups that divide K"),
    (lambda t: t.update({BASE + "weight_shape": torch.tensor([64, 65])}), "is [64, 65]; config.js"),
    (lambda t: t.update({BASE + "weight_packed": torch.zeros(64, 8, dtype=torch.float64)}),
     "is stored as F64; a weight with a weight_scale is I32, U8, I8 or F8_E4M3"),
])
def test_a_damaged_compressed_checkpoint_is_named(copy_of, edit, message):
    folder = copy_of("llama")
    write_compressed(folder, "int4-group")
    edit_tensors(folder, edit)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(folder)


@pytest.mark.parametrize(("change", "message"), [
    ({"bits": 5}, '"bits" is 5; it must be 2, 3, 4 or 8'),
    ({"group_size": 0}, '"group_size" is 0; it must be -1'),
    ({"group_size": 16}, "config.json calls for [4, 8]"),
    ({"checkpoint_format": "marlin"}, '"checkpoint_format" is "marlin"'),
    ({"dynamic": {"+:.*": {}}}, '"dynamic" is'),
    ({"lm_head": True}, '"lm_head" is true'),
    ({"rotation": "hadamard"}, '"rotation" is "hadamard"'),
    ({"adapter": {"name": "lora"}}, '"adapter" is {"name": "lora"}'),
    ({"purpose": 3}, 'the field "purpose"'),
    ({"quant_method": "exl2"}, 'one of "bitnet", "trilobite", "mxfp4", "gptq", "awq", "compre'),
])
def test_a_setting_that_is_not_understood_is_refused(copy_of, change, message):
    folder = copy_of("llama")
    write_gptq(folder, 4, 32)
    edit_config(folder, lambda config: config["quantization_config"].update(change))
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(folder)
