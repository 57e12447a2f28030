"""Ternary by table lookup: the tables, the layout, both paths, both packings."""

import dataclasses
import itertools

import numpy as np
import pytest

from support.integer_weights import pack_values, random_weight
from trilobite.errors import FormatError
from trilobite.quant.formats import Ternary
from trilobite.runtime.kernels.ternary import portable as ternary
from trilobite.runtime.kernels.ternary.portable import TernaryLinear


def test_by_hand(kernel):
    weight = pack_values(Ternary(), np.int8([[1, 0, -1, 1, 1, 0, -1], [-1] * 7]))
    q = np.int8([[1, 2, 3, 4, 5, 6, 7]])
    assert TernaryLinear(weight.packed, None).integer(q).tolist() == [[0, -28]]


@pytest.mark.parametrize("seed", range(3))
def test_table_holds_every_sum_of_five(seed):
    q = np.random.default_rng(seed).integers(-128, 128, 160).astype(np.int8)
    q[80:85] = -128
    tables = np.empty(16 * 256, np.int16)
    ternary._build_tables(q, 80, tables)
    for group in range(16):
        activations = q[80 + 5 * group:85 + 5 * group].astype(int)
        for code, trits in enumerate(itertools.product((-1, 0, 1), repeat=5)):
            lowest_first = trits[::-1]
            assert tables[group * 256 + code] == activations @ lowest_first


def test_unpacking_divides_every_byte_exactly():
    planes = np.empty((5, 243), np.int16)
    ternary._unpack(np.arange(243).astype(np.uint16), planes)
    assert np.array_equal(planes.T, [t[::-1] for t in itertools.product((-1, 0, 1), repeat=5)])


@pytest.mark.parametrize("K", [1, 5, 79, 80, 81, 400])
def test_lookups_equal_unpacked_rows(K, monkeypatch, portable):
    weight = random_weight(Ternary(), 37, K)
    linear = TernaryLinear(weight.packed, None)
    q = np.random.default_rng(1).integers(-128, 128, (9, K)).astype(np.int8)
    monkeypatch.setattr(ternary, "_UNPACK_TOKENS", 10)
    looked_up = linear.integer(q)
    monkeypatch.setattr(ternary, "_UNPACK_TOKENS", 0)
    assert np.array_equal(looked_up, linear.integer(q))
    assert np.array_equal(looked_up, weight.sums(q))


def test_packings_are_one_in_memory(portable):
    values = random_weight(Ternary(), 20, 333).packed.codes().values
    base3, two_bit = (
        TernaryLinear(pack_values(Ternary(packing), values).packed, None)
        for packing in ("base3", "2bit")
    )
    assert np.array_equal(base3._packed, two_bit._packed)
    assert base3.nbytes == two_bit.nbytes


def test_a_byte_that_is_no_five_trits_is_refused(kernel):
    packed = random_weight(Ternary(), 2, 10).packed
    tensors = {**packed.tensors, "packed": np.uint8([[0, 242], [243, 0]])}
    with pytest.raises(FormatError, match="243"):
        TernaryLinear(dataclasses.replace(packed, tensors=tensors), None)
