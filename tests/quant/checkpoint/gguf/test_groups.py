"""Types of 1 and 2 bits with a scale per group: by hand, by another way, as files, as a model."""

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trilobite
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.files.gguf_blocks import TYPES
from trilobite.quant.checkpoint.files.gguf_file import GgufFile
from trilobite.quant.checkpoint.gguf.names import gguf_name
from trilobite.quant.formats import GroupedTernary, Int2
from trilobite.quant.pipeline import quantize

F = np.float32
LEVELS = {"Q1_0": [-1, 1], "Q2_0": [-1, 0, 1, 2], "PQ2_0": [-1, 0, 1, 2], "PTQ1_0": [-1, 0, 1]}
ARCHITECTURE = {
    "block_count": 2, "context_length": 64, "embedding_length": 256, "feed_forward_length": 384,
    "attention.head_count": 4, "attention.head_count_kv": 2, "attention.key_length": 64,
    "attention.value_length": 64,
}


def half(number):
    return np.array([number], "<f2").view(np.uint8)


def pack_two_bits(values, scale, width):
    """Blocks of levels -1 to 2 [n * width], value by value, with bit operations on integers."""
    blocks = []
    for group, one in zip(values.reshape(-1, width), scale, strict=True):
        codes = sum((int(value) + 1) << 2 * j for j, value in enumerate(group))
        blocks.append(half(one).tobytes() + codes.to_bytes(width // 4, "little"))
    return b"".join(blocks)


def pack_ptq1(values, scale):
    """Blocks of trits, by the rule of PrismML's quantize_row_ptq1_0_ref, digit by digit."""
    blocks = []
    for group, one in zip(values.reshape(-1, 128), scale, strict=True):
        packed = []
        for first, width, digits in ((0, 16, 5), (80, 8, 5), (120, 2, 4)):
            for m in range(width):
                number = 0
                for n in range(5):
                    digit = int(group[first + width * n + m]) + 1 if n < digits else 0
                    number = 3 * number + digit
                packed.append(-(-number * 256 // 243))
        blocks.append(bytes(packed) + half(one).tobytes())
    return b"".join(blocks)


def pack(values, scale, name):
    if name == "PTQ1_0":
        return pack_ptq1(values, scale)
    if name == "Q1_0":
        return b"".join(
            half(one).tobytes()
            + sum(int(value > 0) << j for j, value in enumerate(group)).to_bytes(16, "little")
            for group, one in zip(values.reshape(-1, 128), scale, strict=True)
        )
    return pack_two_bits(values, scale, TYPES[name].values)


def test_two_bits_by_hand():
    # Bytes are read from their low bits on: 0b_11_10_01_00 is -1, 0, 1, 2 times the scale.
    block = np.zeros((1, 18), np.uint8)
    block[0, :2], block[0, 2:] = half(0.5), 0b01_01_01_01
    block[0, 3] = 0b11_10_01_00
    values = TYPES["Q2_0"].dequantize(block)
    assert values[0, :9].tolist() == [0, 0, 0, 0, -0.5, 0, 0.5, 1.0, 0]


def test_base_3_by_hand():
    # Digits 2, 0, 1, 1, 1 of values 0, 16, 32, 48, 64: 175, stored as ceil(175 * 256 / 243).
    trits = np.zeros(128, int)
    trits[0], trits[16] = 1, -1
    assert pack_ptq1(trits, [1])[0] == 185
    block = np.frombuffer(pack_ptq1(trits, [1]), np.uint8)[None]
    np.testing.assert_array_equal(TYPES["PTQ1_0"].dequantize(block)[0], trits)


@pytest.mark.parametrize("name", LEVELS)
@given(seed=st.integers(0, 2**32 - 1))
def test_blocks_decode_to_what_was_packed(name, seed):
    random = np.random.default_rng(seed)
    width = TYPES[name].values
    values = random.choice(LEVELS[name], 3 * width)
    scale = random.standard_normal(3).astype(np.float16)
    blocks = np.frombuffer(pack(values, scale, name), np.uint8).reshape(3, -1)
    assert blocks.shape[1] == TYPES[name].nbytes
    expected = values.reshape(3, -1) * scale.astype(F)[:, None]
    np.testing.assert_array_equal(TYPES[name].dequantize(blocks), expected)


def write_file(path, name, number=None, twos=False, seed=0, metadata=None):
    """A random Qwen3 with every matrix in ``name``; returns the matrices by GGUF's names."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "qwen3")
    for key, value in ARCHITECTURE.items():
        writer.add_uint32(f"qwen3.{key}", value)
    writer.add_float32("qwen3.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_float32("qwen3.rope.freq_base", 1e6)
    for key, value in (metadata or {}).items():
        if isinstance(value, np.ndarray):
            kind = {"int8": "INT8", "int64": "INT64"}[value.dtype.name]
            writer.add_key_value(key, value.tolist(), gguf.GGUFValueType.ARRAY,
                                 gguf.GGUFValueType[kind])
        else:
            add = {str: writer.add_string, int: writer.add_int64, bool: writer.add_bool,
                   list: writer.add_array}[type(value)]
            add(key, value)
    matrices = {}

    def matrix(tensor, M, K):
        kind = TYPES[name]
        values = random.choice(LEVELS[name][:3], M * K)
        if twos:
            values[random.integers(0, M * K, 20)] = 2
        scale = (random.random(M * K // kind.values) / 30 + 0.01).astype(np.float16)
        scale[3], scale[4] = -scale[3], 0
        data = np.frombuffer(pack(values, scale, name), np.uint8).reshape(M, -1)
        grouped = values.reshape(-1, kind.values) * scale.astype(F)[:, None]
        matrices[tensor] = grouped.reshape(M, K).astype(F)
        # int8: of uint8 the package would look up the type's blocks, which it does not know.
        writer.add_tensor_info(tensor, (M, K), np.dtype(np.int8), data.nbytes,
                               raw_dtype=number or kind.number)
        writer.tensors[-1][tensor].tensor = data

    def vector(tensor, width):
        writer.add_tensor(tensor, np.ones(width, F))

    matrix("token_embd.weight", 96, 256)
    vector("output_norm.weight", 256)
    for layer in range(2):
        begin = f"blk.{layer}."
        for tensor, width in (("attn_norm", 256), ("ffn_norm", 256), ("attn_q_norm", 64),
                              ("attn_k_norm", 64)):
            vector(f"{begin}{tensor}.weight", width)
        for tensor, M, K in (("attn_q", 256, 256), ("attn_k", 128, 256), ("attn_v", 128, 256),
                             ("attn_output", 256, 256), ("ffn_gate", 384, 256),
                             ("ffn_up", 384, 256), ("ffn_down", 256, 384)):
            matrix(f"{begin}{tensor}.weight", M, K)
    matrix("output.weight", 96, 256)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return matrices


@pytest.mark.parametrize("name", LEVELS)
def test_a_model_is_read_exactly_and_runs_as_it_is_stored(tmp_path, name):
    path = tmp_path / "bonsai.gguf"
    matrices = write_file(path, name)
    form = GroupedTernary(group_size=TYPES[name].values)
    with open_checkpoint(path) as checkpoint:
        names = [each for each, info in checkpoint.tensors.items() if len(info.shape) == 2]
        assert len(names) == 2 * 7 + 2   # embedding and head, too
        for each in names:
            assert checkpoint.format(each) == form == checkpoint.stored_format(each)
            expected = matrices[gguf_name(each)]
            np.testing.assert_array_equal(checkpoint.read(each), expected)
            np.testing.assert_array_equal(checkpoint.weight(each).dequantize(), expected)
    model = trilobite.load(path)
    head = model.decoder.head
    assert head.format == form
    hidden = np.random.default_rng(0).standard_normal((3, 256)).astype(F)
    np.testing.assert_allclose(
        head(hidden), hidden @ matrices["output.weight"].T, atol=2e-2)
    np.testing.assert_array_equal(
        model.decoder.embedding(np.array([5, 7])), matrices["token_embd.weight"][[5, 7]])
    assert np.isfinite(model.session(8).feed([1, 2, 3])).all()


def test_codes_that_are_not_ternary_are_kept_in_int2(tmp_path):
    path = tmp_path / "twos.gguf"
    matrices = write_file(path, "PQ2_0", twos=True)
    with open_checkpoint(path) as checkpoint:
        for each in checkpoint.config.linear_weights():
            assert checkpoint.format(each) == Int2(group_size=128, symmetric=False)
            np.testing.assert_array_equal(
                checkpoint.weight(each).dequantize(), matrices[gguf_name(each)])
    assert np.isfinite(trilobite.load(path).session(8).feed([1, 2, 3])).all()


def test_the_codes_go_into_a_folder_as_they_are(tmp_path):
    write_file(tmp_path / "bonsai.gguf", "PTQ1_0")
    quantize(tmp_path / "bonsai.gguf", tmp_path / "folder", "ternary-group,group_size=128",
             embedding="keep")
    with open_checkpoint(tmp_path / "bonsai.gguf") as before, \
            open_checkpoint(tmp_path / "folder") as after:
        for each in [*before.config.linear_weights(), "model.embed_tokens.weight",
                     "lm_head.weight"]:
            assert after.format(each) == GroupedTernary(128)
            np.testing.assert_array_equal(after.read(each), before.read(each))
    ours, theirs = (
        trilobite.load(tmp_path / name, kv="float32").logits([1, 2, 3])
        for name in ("folder", "bonsai.gguf")
    )
    np.testing.assert_array_equal(ours, theirs)


def test_the_first_files_of_prismml_call_groups_of_128_by_the_number_of_groups_of_64(tmp_path):
    path = tmp_path / "first.gguf"
    matrices = write_file(path, "PQ2_0", number=TYPES["Q2_0"].number)
    with open_checkpoint(path) as checkpoint:
        for each in checkpoint.config.linear_weights():
            np.testing.assert_array_equal(checkpoint.read(each), matrices[gguf_name(each)])


def one_matrix(path, M, nbytes):
    writer = gguf.GGUFWriter(path, "qwen3")
    data = np.zeros(nbytes, np.uint8)
    writer.add_tensor_info("w", (M, 128), np.dtype(np.int8), nbytes, raw_dtype=42)
    writer.tensors[-1]["w"].tensor = data
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(("M", "row", "name"), [(64, 36, "Q2_0"), (64, 34, "PQ2_0")])
def test_the_size_of_a_last_tensor_tells_its_groups(tmp_path, M, row, name):
    one_matrix(tmp_path / "one.gguf", M, M * row)
    with GgufFile(tmp_path / "one.gguf") as file:
        assert file.tensors["w"].type.name == name


def test_a_file_that_fits_both_is_refused(tmp_path):
    one_matrix(tmp_path / "one.gguf", 1, 64)
    with pytest.raises(CheckpointError, match="groups of 64 .Q2_0. and of 128"):
        GgufFile(tmp_path / "one.gguf")


@pytest.mark.parametrize(("number", "said"), [(np.inf, "infinit"), (np.nan, "NaN")])
def test_a_scale_that_is_no_number_is_refused(tmp_path, number, said):
    path = tmp_path / "bad.gguf"
    write_file(path, "PTQ1_0")
    with open_checkpoint(path) as checkpoint:
        info = checkpoint._sources["model.layers.0.self_attn.q_proj.weight"]
        begin = info._file.tensors[info._stored].begin
    data = bytearray(path.read_bytes())
    data[begin + 26:begin + 28] = half(number).tobytes()
    path.write_bytes(bytes(data))
    with open_checkpoint(path) as checkpoint, pytest.raises(CheckpointError, match="attn_q"):
        checkpoint.weight("model.layers.0.self_attn.q_proj.weight")
