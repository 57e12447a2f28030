"""MXFP4: E2M1 against ml_dtypes, the three scale rules, gguf and onnx as second opinions."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trilobite.errors import FormatError
from trilobite.quant.formats import Mxfp4
from trilobite.quant.formats.e2m1 import E2M1_TWICE, E2M1_VALUES, to_e2m1

RULES = ("floor", "even", "ceil")


def test_a_vector_worked_out_by_hand():
    # absmax 6 = 1.5 * 2**2: X = 2**(2 - 2) = 1, stored as 127. 2.5 ties to 2, 3.5 to 4, 5 to 4,
    # 0.25 to 0, 0.75 and 1.25 to 1, 1.75 to 2.
    weight = np.zeros((1, 32), np.float32)
    weight[0, :12] = 6, -6, 0.5, 1.5, -3, 2.5, 3.5, 5, 0.25, 0.75, 1.25, -1.75
    packed = Mxfp4("floor").quantize(weight)
    assert packed.tensors["scale"].tolist() == [[127]]
    assert packed.tensors["packed"][0, :6].tolist() == [
        0xF7, 0x31, 0x4D, 0x66, 0x20, 0xC2   # the even column in the low nibble
    ]
    expected = [6, -6, 0.5, 1.5, -3, 2, 4, 4, 0, 1, 1, -2]
    assert packed.dequantize()[0, :12].tolist() == expected


@pytest.mark.parametrize(
    ("absmax", "exponents"),   # of floor, even and ceil
    [(4, (0, 0, 0)), (6, (0, 0, 0)), (6.0001, (0, 0, 1)), (6.999, (0, 0, 1)), (7, (0, 1, 1)),
     (7.999, (0, 1, 1)), (8, (1, 1, 1))],
)
def test_scale_rules(absmax, exponents):
    weight = np.zeros((1, 32), np.float32)
    weight[0, 5] = -absmax
    for rule, exponent in zip(RULES, exponents, strict=True):
        assert Mxfp4(rule).quantize(weight).tensors["scale"].tolist() == [[127 + exponent]]


def test_codes_and_their_values_are_those_of_ml_dtypes():
    theirs = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    np.testing.assert_array_equal(E2M1_VALUES, theirs)
    np.testing.assert_array_equal(np.signbit(E2M1_VALUES), np.signbit(theirs))
    np.testing.assert_array_equal(E2M1_TWICE, 2 * theirs)
    np.testing.assert_array_equal(to_e2m1(E2M1_VALUES), np.arange(16))


def in_theirs(numbers):
    return numbers.astype(ml_dtypes.float4_e2m1fn).view(np.uint8)


def test_every_tie_and_its_neighbours_round_as_ml_dtypes_does():
    grid = E2M1_VALUES[:8]
    ties = (grid[1:] + grid[:-1]) / 2
    numbers = np.concatenate([ties, np.nextafter(ties, 0), np.nextafter(ties, np.float32(9))])
    numbers = np.concatenate([numbers, -numbers])
    np.testing.assert_array_equal(to_e2m1(numbers), in_theirs(numbers))


@given(hnp.arrays(np.float32, (1, 32), elements=st.floats(-1e6, 1e6, width=32)))
def test_any_number_rounds_as_ml_dtypes_does(numbers):
    np.testing.assert_array_equal(to_e2m1(numbers), in_theirs(numbers))


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_the_stored_bytes_mean_what_ml_dtypes_says(rule, data):
    elements = st.floats(-(2.0**99), 2.0**99, width=32)
    weight = data.draw(hnp.arrays(np.float32, (2, 64), elements=elements))
    packed = Mxfp4(rule).quantize(weight)
    nibbles = np.stack([packed.tensors["packed"] & 15, packed.tensors["packed"] >> 4], axis=2)
    values = nibbles.view(ml_dtypes.float4_e2m1fn).astype(np.float32).reshape(2, 2, 32)
    scale = packed.tensors["scale"].view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    np.testing.assert_array_equal((values * scale[:, :, None]).reshape(2, 64), packed.dequantize())


def test_gguf_reads_the_same_blocks():
    quants = pytest.importorskip("gguf.quants")
    from gguf import GGMLQuantizationType

    weight = np.random.default_rng(0).standard_normal((16, 256)).astype(np.float32)
    packed = Mxfp4("floor").quantize(weight)
    codes = packed.codes().values.reshape(16, 8, 2, 16)
    halves = codes[:, :, 0] | codes[:, :, 1] << 4   # element j and j + 16 share a byte
    blocks = np.concatenate([packed.tensors["scale"][:, :, None], halves], axis=2).reshape(16, -1)
    theirs = quants.dequantize(blocks, GGMLQuantizationType.MXFP4)
    np.testing.assert_array_equal(theirs, packed.dequantize())
    made = quants.quantize(weight, GGMLQuantizationType.MXFP4).reshape(16, 8, 17)
    np.testing.assert_array_equal(made[:, :, 0], packed.tensors["scale"])   # ggml's is floor too


def test_onnx_dequantizes_the_same():
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    weight = np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)
    packed = Mxfp4().quantize(weight)
    helper, kinds = onnx.helper, onnx.TensorProto
    stored = {suffix: tensor.tobytes() for suffix, tensor in packed.tensors.items()}
    codes = onnx.TensorProto(
        name="w", data_type=kinds.FLOAT4E2M1, dims=[4, 64], raw_data=stored["packed"])
    scale = onnx.TensorProto(
        name="s", data_type=kinds.FLOAT8E8M0, dims=[4, 2], raw_data=stored["scale"])
    node = helper.make_node(
        "DequantizeLinear", ["w", "s"], ["y"], axis=1, block_size=32, output_dtype=kinds.FLOAT)
    graph = helper.make_graph(
        [node], "mx", [], [helper.make_tensor_value_info("y", kinds.FLOAT, [4, 64])],
        [codes, scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)])
    np.testing.assert_array_equal(ReferenceEvaluator(model).run(None, {})[0], packed.dequantize())


def test_the_smallest_and_largest_weights():
    largest = np.finfo(np.float32).max
    for rule in RULES:
        for value in (largest, 2.0**-149, 2.0**-126):
            packed = Mxfp4(rule).quantize(np.full((1, 32), value, np.float32))
            assert np.isfinite(packed.dequantize()).all()
        assert packed.tensors["scale"].max() <= 252


def test_blocks_must_be_whole():
    with pytest.raises(FormatError, match="q_proj: K = 48 is not a multiple of 32, the columns"):
        Mxfp4().quantize(np.zeros((2, 48), np.float32), "q_proj")


@pytest.mark.parametrize("rule", ["up", None, 1, ["floor"]])
def test_the_rule_is_checked(rule):
    with pytest.raises(FormatError, match="scale_rule must be"):
        Mxfp4(rule)
