"""Quantizing a BitNet to ternary changes its packing, not one bit of its output."""

import numpy as np
import pytest

import trilobite
from support.checkpoints import BITNET_STORAGES

PROMPT = list(range(2, 40))


@pytest.mark.parametrize("packing", ["base3", "2bit"])
@pytest.mark.parametrize("storage", BITNET_STORAGES)
def test_repacked_bitnet_computes_the_same(library, tmp_path, storage, packing):
    expected = trilobite.load(library(storage), kv="float32").logits(PROMPT)
    out = tmp_path / "out"
    trilobite.quantize(library(storage), out, f"ternary,packing={packing}", embedding="keep")
    np.testing.assert_array_equal(trilobite.load(out, kv="float32").logits(PROMPT), expected)
