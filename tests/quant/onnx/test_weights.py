"""The bytes of weights in ONNX: vectors by hand, then onnx's own reading of random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from trilobite.errors import FormatError
from trilobite.quant.formats import (
    Codes,
    Fp8,
    GroupedTernary,
    Int2,
    Int3,
    Int4,
    Int4Fp8,
    Int8,
    Mxfp4,
    Nvfp4,
    Ternary,
)
from trilobite.quant.onnx.dequantize import DequantizeLayout, from_rows, to_rows
from trilobite.quant.onnx.matmul_nbits import NBitsLayout
from trilobite.quant.onnx.types import ElementType, affine_codes, element_type, pack_elements

INT4, UINT2 = ElementType("INT4", 4, 21), ElementType("UINT2", 2, 25)


def test_four_bits_lie_low_nibble_first_and_without_gaps_between_rows():
    values = np.array([[1, -1, 7], [-8, 0, 2]], np.int8)
    assert pack_elements(values, INT4).tolist() == [0xF1, 0x87, 0x20]
    assert pack_elements(values[:, :1], INT4).tolist() == [0x81]
    assert pack_elements(values[:1], INT4).tolist() == [0xF1, 0x07]


def test_two_bits_fill_a_byte_from_below():
    assert pack_elements(np.array([3, 0, 1, 2, 1], np.uint8), UINT2).tolist() == [0x93, 0x01]


def test_a_ternary_row_for_matmulnbits_by_hand():
    layout = NBitsLayout(Ternary(), (1, 40))
    assert (layout.bits, layout.block_size, layout.blocks) == (2, 32, 2)
    trits = np.zeros((1, 40), np.int8)
    trits[0, :4] = [1, 0, -1, 1]
    trits[0, 39] = -1
    rows = layout.rows(Codes(trits, np.full((1, 1), 0.5, np.float32)))
    expected = [0b10_00_01_10, *[0b01010101] * 8, 0b00_01_01_01, *[0b01010101] * 6]
    assert rows.packed.reshape(-1).tolist() == expected
    assert rows.scale.tolist() == [[0.5, 0.5]]
    assert rows.zero_point.tolist() == [[0b0101]]


def test_an_int4_row_for_matmulnbits_by_hand():
    layout = NBitsLayout(Int4(32), (1, 32))
    values = np.arange(-16, 16, dtype=np.int8).clip(-8, 7)[None]
    rows = layout.rows(Codes(values, np.ones((1, 1), np.float32)))
    assert rows.packed.shape == (1, 1, 16) and rows.zero_point is None
    assert rows.packed[0, 0, 4:12].tolist() == [
        0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE
    ]
    assert layout.attributes == {"K": 32, "N": 1, "bits": 4, "block_size": 32}


@pytest.mark.parametrize(
    ("K", "size"), [(128, 128), (6912, 128), (5000, 128), (64, 64), (96, 32), (40, 32), (576, 64)]
)
def test_blocks_of_a_scale_per_row(K, size):
    assert NBitsLayout(Int8(), (1, K)).block_size == size


def test_what_each_format_needs():
    assert element_type(Int4()).name == "INT4" and element_type(Int4(32, False)).name == "UINT4"
    assert element_type(Int3()).name == "UINT4" and element_type(Int2()).name == "UINT2"
    assert element_type(Ternary()).name == "INT2" and element_type(Ternary(), 24).name == "INT4"
    assert element_type(Fp8()).name == "FLOAT8E4M3FN"
    assert DequantizeLayout(Int8(), (64, 8), 0).since == 13
    assert DequantizeLayout(Int8(), (2, 64, 8), 1).since == 21
    assert DequantizeLayout(Fp8(), (64, 8), 0).since == 19
    assert DequantizeLayout(GroupedTernary(32), (64, 8), 0).since == 25
    with pytest.raises(FormatError, match="MatMulNBits multiplies integers, not fp8"):
        NBitsLayout(Fp8(), (8, 64))


FORMS = [
    Int4(32), Int4(32, False), Int4(None), Int4(None, False), Int3(32), Int2(32), Int2(None, True),
    Int8(), Fp8("row"), Fp8("tensor"), Ternary(), GroupedTernary(32), Mxfp4(), Mxfp4("floor"),
    Nvfp4(), Int4Fp8(32),
]


@settings(deadline=None)
@given(
    form=st.sampled_from(FORMS), rows=st.integers(1, 5), groups=st.integers(1, 3),
    lead=st.integers(0, 2), last=st.booleans(), seed=st.integers(0, 2**32 - 1),
)
def test_onnx_reads_the_numbers_that_the_codes_stand_for(form, rows, groups, lead, last, seed):
    K = 32 * groups
    shape = (2,) * lead + ((rows, K) if last else (K, rows))
    axis = len(shape) - (1 if last else 2)
    weight = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    matrix = np.ascontiguousarray(to_rows(weight, axis))
    codes = form.encode(matrix, form.statistics([matrix]))
    expected = from_rows(form.dequantize(codes), shape, axis)
    codes = affine_codes(form, codes)
    layout = DequantizeLayout(form, shape, axis)
    kind = TensorProto.DataType.Value(layout.type.name)
    parts = [
        TensorProto(name="codes", data_type=kind, dims=shape,
                    raw_data=layout.codes(codes.values).tobytes()),
        numpy_helper.from_array(layout.scale(codes), "scale"),
    ]
    if (zero_point := layout.zero_point(codes)) is not None:
        parts.append(TensorProto(name="zero_point", data_type=kind, dims=layout.scale_shape,
                                 raw_data=zero_point.tobytes()))
    node = helper.make_node(
        "DequantizeLinear", [part.name for part in parts], ["y"], **layout.attributes
    )
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "g", [], [y], parts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])
    found, = ReferenceEvaluator(model).run(None, {})
    np.testing.assert_array_equal(found, expected)
    stored = sum(len(part.raw_data) for part in parts)
    assert stored == layout.nbytes
