"""BitNet's own storage: trits four to a byte, scales that multiply or divide, master weights."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.integrations.bitnet import pack_weights

from support.checkpoints import edit_config, edit_tensors
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.bitnet import unpack_rows
from trilobite.quant.formats import PackedWeight, Ternary

Q = "model.layers.0.self_attn.q_proj.weight"
STORAGES = ["online", "autobitlinear", "bitlinear", "older"]


def test_unpacking_by_hand():
    # One byte row of a matrix [4, 3]: 0b00_01_10_00 holds -1, 1, 0, -1 from the top row down.
    packed = np.array([[0b00_01_10_00, 0b10_10_10_10, 0b01_00_01_10]], np.uint8)
    trits = [unpack_rows(packed, part).astype(int)[0] - 1 for part in range(4)]
    np.testing.assert_array_equal(trits, [[-1, 1, 1], [1, 1, 0], [0, 1, -1], [-1, 1, 0]])


def test_bits_of_a_byte_are_a_quarter_of_the_rows_apart():
    packed = np.array([[0b11_10_01_00], [0b00_01_10_11]], np.uint8)
    codes = np.concatenate([unpack_rows(packed, part) for part in range(4)])
    np.testing.assert_array_equal(codes[:, 0], [0, 3, 1, 2, 2, 1, 3, 0])


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_unpacking_inverts_transformers(quarter, columns, seed):
    trits = np.random.default_rng(seed).integers(-1, 2, (4 * quarter, columns)).astype(np.int8)
    packed = pack_weights(torch.from_numpy(trits.copy())).numpy()
    codes = np.concatenate([unpack_rows(packed, part) for part in range(4)])
    np.testing.assert_array_equal(codes.astype(np.int8) - 1, trits)


@pytest.mark.parametrize("storage", STORAGES)
def test_every_storage_gives_the_same_weights(library, storage):
    with open_checkpoint(library("bitnet-float")) as master, \
            open_checkpoint(library(storage)) as checkpoint:
        assert checkpoint.config.bitlinear
        assert list(checkpoint.tensors) == list(master.tensors)
        for name in checkpoint.tensors:
            weight = checkpoint.weight(name)
            if name not in checkpoint.config.linear_weights():
                np.testing.assert_array_equal(weight, master.read(name))
                continue
            assert isinstance(weight, PackedWeight)
            exact = master.read(name).astype(np.float64)
            scale = np.abs(exact).mean()
            codes = weight.codes()
            np.testing.assert_array_equal(codes.values, np.clip(np.rint(exact / scale), -1, 1))
            np.testing.assert_allclose(codes.scale, scale, rtol=1e-6)


@pytest.mark.parametrize("storage", ["autobitlinear", "bitlinear"])
def test_packed_weights_are_native(library, storage):
    with open_checkpoint(library(storage)) as checkpoint:
        info = checkpoint.tensors[Q]
        assert (info.dtype, info.shape, info.nbytes) == ("ternary", (64, 64), 16 * 64 + 4)
        assert checkpoint.stored_format(Q) == Ternary()
        codes = checkpoint.encoded(Q, 0, 64).values
        assert codes.dtype == np.int8
        assert set(np.unique(codes)) == {-1, 0, 1}
        for start, stop in [(0, 1), (15, 17), (31, 49), (63, 64), (20, 20)]:
            part = checkpoint.encoded(Q, start, stop).values
            np.testing.assert_array_equal(part, codes[start:stop])
        scale = checkpoint.encoded(Q, 0, 1).scale
        assert (scale.dtype, scale.shape) == (np.float32, (1, 1))
        np.testing.assert_array_equal(checkpoint.read(Q), codes * scale)


@pytest.mark.parametrize("storage", ["online", "older"])
def test_master_weights_are_read_as_they_are(library, storage):
    with open_checkpoint(library(storage)) as checkpoint:
        assert checkpoint.tensors[Q].dtype == "F32"
        assert len(np.unique(checkpoint.read(Q))) > 1000


@pytest.mark.parametrize(("edit", "message"), [
    (lambda tensors: tensors.update({Q: torch.zeros(64, 64)}),
     f'{Q} is F32 [64, 64]; packed BitNet weights are U8 [16, 64] (for master weights, "quantiz'),
    (lambda tensors: tensors.update({Q: torch.zeros(8, 64, dtype=torch.uint8)}),
     f"{Q} is U8 [8, 64]; packed BitNet weights are U8 [16, 64]"),
    (lambda tensors: tensors.pop(f"{Q}_scale"), f"the tensor {Q}_scale is in no file"),
    (lambda tensors: tensors.update({f"{Q}_scale": torch.ones(2)}),
     f"{Q}_scale has shape [2]; config.json calls for [1]"),
    (lambda tensors: tensors.update({f"{Q}_scale": torch.ones(1, dtype=torch.int8)}),
     f"{Q}_scale is stored as I8; it must be F32, F16 or BF16"),
])
def test_packing_that_does_not_fit_is_refused(copy_of, edit, message):
    folder = copy_of("autobitlinear")
    edit_tensors(folder, edit)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(folder)


def test_packed_rows_come_in_fours(copy_of):
    folder = copy_of("autobitlinear")

    def widen(tensors):
        for layer in range(2):
            tensors[f"model.layers.{layer}.mlp.ffn_sub_norm.weight"] = torch.ones(98)

    edit_config(folder, lambda config: config.update(intermediate_size=98))
    edit_tensors(folder, widen)
    with pytest.raises(CheckpointError, match="has 98 output rows; packed BitNet weights need a"):
        open_checkpoint(folder)


def test_a_code_that_is_no_trit_is_placed(copy_of):
    folder = copy_of("bitlinear")

    def damage(tensors):
        tensors[Q][5, 7] |= 0b00_11_00_00

    edit_tensors(folder, damage)
    with open_checkpoint(folder) as checkpoint:
        checkpoint.encoded(Q, 0, 37)
        with pytest.raises(CheckpointError, match="code 3 for output row 37, column 7"):
            checkpoint.encoded(Q, 30, 40)
        for read in (checkpoint.read, checkpoint.weight):
            with pytest.raises(CheckpointError, match="code 3 for output row 37, column 7"):
                read(Q)


@pytest.mark.parametrize(("storage", "value"), [
    ("autobitlinear", 0.0), ("autobitlinear", -1.0), ("autobitlinear", float("nan")),
    ("bitlinear", 0.0), ("bitlinear", float("inf")), ("bitlinear", 1e-45),
])
def test_scales_are_positive_and_finite(copy_of, storage, value):
    folder = copy_of(storage)
    edit_tensors(folder, lambda tensors: tensors[f"{Q}_scale"].fill_(value))
    with open_checkpoint(folder) as checkpoint, pytest.raises(CheckpointError, match="_scale "):
        checkpoint.encoded(Q, 0, 1)


def test_a_scale_may_be_a_scalar(copy_of):
    folder = copy_of("autobitlinear")
    edit_tensors(folder, lambda tensors: tensors.update({f"{Q}_scale": torch.tensor(0.5)}))
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.encoded(Q, 0, 1).scale == 0.5


def test_both_names_of_a_norm(copy_of):
    folder = copy_of("older")
    name = "model.layers.0.mlp.ffn_sub_norm.weight"
    edit_tensors(folder, lambda tensors: tensors.update({name: torch.ones(96)}))
    with pytest.raises(CheckpointError, match="is the same tensor as"):
        open_checkpoint(folder)
