"""The ways in which experts are stored: one by one, all in one, and in MXFP4."""

import numpy as np
import pytest
import torch
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import trilobite
from support.checkpoints import VARIANTS, edit_config, edit_tensors, write_variant
from support.transformers_judge import error_in_range
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Mxfp4
from trilobite.quant.pipeline import quantize

TOKENS = [int(token) for token in np.random.default_rng(3).integers(2, 128, 30)]
EXPERTS = "model.layers.0.mlp.experts."


@pytest.fixture
def qwen(tmp_path):
    return write_variant(tmp_path / "qwen", VARIANTS["qwen3-moe"])


def fuse(tensors):
    """As ``transformers`` 5 holds them: all experts of a layer in two tensors."""
    for layer in range(2):
        prefix = f"model.layers.{layer}.mlp.experts."

        def all_of(name, prefix=prefix):
            return torch.stack([tensors.pop(f"{prefix}{e}.{name}.weight") for e in range(8)])

        both = all_of("gate_proj"), all_of("up_proj")
        tensors[f"{prefix}gate_up_proj"] = torch.cat(both, 1).contiguous()
        tensors[f"{prefix}down_proj"] = all_of("down_proj").contiguous()


def test_experts_in_one_tensor_are_those_one_by_one(tmp_path, qwen):
    fused = write_variant(tmp_path / "fused", VARIANTS["qwen3-moe"])
    edit_tensors(fused, fuse)
    with open_checkpoint(qwen) as one, open_checkpoint(fused) as other:
        assert list(one.tensors) == list(other.tensors)
        for name in one.tensors:
            np.testing.assert_array_equal(one.read(name), other.read(name))
            assert one.tensors[name].nbytes == other.tensors[name].nbytes
    for source, out in ((qwen, tmp_path / "a"), (fused, tmp_path / "b")):
        quantize(source, out, "int4,group_size=32")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]


@pytest.mark.parametrize(("edit", "message"), [
    (lambda t: t.pop(f"{EXPERTS}3.up_proj.weight"), r"experts\.3\.up_proj\.weight is in no file"),
    (lambda t: t.update({f"{EXPERTS}gate_up_proj": torch.zeros(8, 64, 64)}),
     r"is also part of .*gate_up_proj"),
    (lambda t: t.update({f"{EXPERTS}down_proj": torch.zeros(8, 32, 64)}),
     r"down_proj has shape \[8, 32, 64\]; config.json calls for \[8, 64, 32\]"),
    (lambda t: t.update({f"{EXPERTS}8.up_proj.weight": torch.zeros(32, 64)}),
     r"experts\.8\.up_proj\.weight is no part of a qwen3_moe model"),
])
def test_experts_that_do_not_fit_are_named(qwen, edit, message):
    edit_tensors(qwen, edit)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(qwen)


@pytest.mark.parametrize(("field", "value", "message"), [
    ("num_experts_per_tok", 9, "an integer from 1 to 8"),
    ("num_experts", 7, 'must be 7, as "num_experts" says'),
    ("mlp_only_layers", [2], "a list of layers from 0 to 1"),
    ("decoder_sparse_step", 0, "an integer from 1 to 2"),
    ("norm_topk_prob", 1, "true or false"),
])
def test_fields_of_experts_that_are_wrong_are_named(qwen, field, value, message):
    edit_config(qwen, lambda config: config.update({field: value}))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(qwen)


def to_mxfp4(tensors):
    """Pack experts as gpt-oss is published; they become the numbers that the codes stand for."""
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        whole = tensors.pop(name).float().numpy().swapaxes(1, 2)
        E, M, K = whole.shape
        packed = Mxfp4().quantize(whole.reshape(E * M, K)).tensors
        blocks = packed["packed"].reshape(E, M, K // 32, 16)
        tensors[f"{name}_blocks"] = torch.from_numpy(blocks.copy())
        tensors[f"{name}_scales"] = torch.from_numpy(packed["scale"].reshape(E, M, -1).copy())


def as_floats(tensors):
    """What ``transformers`` makes of ``to_mxfp4``'s tensors."""
    for name in [name for name in tensors if name.endswith("_blocks")]:
        blocks, scales = tensors.pop(name), tensors.pop(name.replace("_blocks", "_scales"))
        values = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
        tensors[name.removesuffix("_blocks")] = values.contiguous()


@pytest.fixture
def gpt_oss(tmp_path):
    """A folder with experts in MXFP4, and one with the floats that ``transformers`` makes."""
    folders = []
    for name in ("packed", "floats"):
        folder = write_variant(tmp_path / name, VARIANTS["gpt-oss"])
        edit_tensors(folder, to_mxfp4)
        folders.append(folder)
    edit_config(folders[0], lambda config: config.update(
        quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}))
    edit_tensors(folders[1], as_floats)
    return folders


def test_mxfp4_experts_are_the_numbers_that_transformers_reads(gpt_oss):
    packed, floats = gpt_oss
    with open_checkpoint(packed) as one, open_checkpoint(floats) as other:
        for name in one.tensors:
            np.testing.assert_array_equal(one.read(name), other.read(name))
        assert one.format(f"{EXPERTS}0.gate_up_proj.weight") == Mxfp4()
        assert one.format("model.layers.0.self_attn.q_proj.weight") is None
    found, expected = (trilobite.load(folder, kv="float32").logits(TOKENS) for folder in gpt_oss)
    assert error_in_range(found, expected) < 0.1   # activations in int8, experts may change


def test_mxfp4_codes_go_through_quantize_unchanged(tmp_path, gpt_oss):
    packed, _ = gpt_oss
    manifest = quantize(packed, tmp_path / "out", "mxfp4")
    for record in manifest.tensors:
        if ".experts." in record.name and record.format:
            assert record.nmse == 0
    out = trilobite.load(tmp_path / "out")
    session = out.session(len(TOKENS))
    pieces = [session.feed(TOKENS[:25]), session.feed(TOKENS[25:26]), session.feed(TOKENS[26:])]
    np.testing.assert_array_equal(np.concatenate(pieces), out.logits(TOKENS))
