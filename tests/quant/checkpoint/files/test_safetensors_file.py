"""Safetensors files: a vector by hand, the reference implementation, and files that lie."""

import json
import re
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint.files.safetensors_file import HeaderEntry, SafetensorsFile

HEADER = {
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]},
}
# 1, -2, 0.5, inf as float32; 1, -2, NaN as bfloat16.
DATA = bytes.fromhex("0000803f 000000c0 0000003f 0000807f  803f 00c0 c07f")


def file_bytes(header, data=DATA, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def write(folder, content):
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return path


def changed(name, **fields):
    return {**HEADER, name: {**HEADER[name], **fields}}


def test_file_by_hand(tmp_path):
    text = json.dumps({"__metadata__": {"format": "pt"}, **HEADER}).encode()
    with SafetensorsFile(write(tmp_path, file_bytes(text))) as file:
        begin = 8 + len(text)
        assert file.tensors == {
            "a": HeaderEntry("F32", (2, 2), begin, begin + 16),
            "b": HeaderEntry("BF16", (3,), begin + 16, begin + 22),
        }
        np.testing.assert_array_equal(file.read("a"), [[1, -2], [0.5, np.inf]])
        np.testing.assert_array_equal(file.read("a", 1, 2), [[0.5, np.inf]])
        np.testing.assert_array_equal(file.read("b"), [0x3F80, 0xC000, 0x7FC0])
        assert file.read("b", 2, 2).shape == (0,)
        with pytest.raises(ValueError, match="a has 2 rows, not rows 1 to 3"):
            file.read("a", 1, 3)


def test_file_of_the_reference_implementation(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "scalar": np.float32(3.5), "empty": np.zeros((0, 4), np.float32),
        "bytes": rng.integers(0, 256, (5, 7), np.uint8), "half": rng.normal(size=9).astype("f2"),
        "signed": rng.integers(-9, 9, (2, 3, 4), np.int8), "double": rng.normal(size=(3, 1)),
    }
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({name: np.asarray(value) for name, value in arrays.items()}, path)
    with SafetensorsFile(path) as file:
        assert set(file.tensors) == set(arrays)
        for name, value in arrays.items():
            np.testing.assert_array_equal(file.read(name), value)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "has 0 bytes; it is no safetensors file"),
    (b"1234567", "has 7 bytes"),
    (file_bytes(HEADER, length=1 << 63), "claims a header of 9223372036854775808"),
    (file_bytes(HEADER, b"", length=200), "claims a header of 200"),
    (file_bytes(b"{"), "the safetensors header is not valid JSON"),
    (file_bytes(b"\xff\xfe"), "the safetensors header is not valid JSON"),
    (file_bytes(b"[" * 100_000), "the safetensors header is not valid JSON"),
    (file_bytes(b"[]"), "the safetensors header holds []; it must be a JSON object"),
    (file_bytes({**HEADER, "__metadata__": {"a": 1}}), '__metadata__ is {"a": 1}'),
    (file_bytes({**HEADER, "c": 7}), "the header entry of c is 7"),
    (file_bytes({**HEADER, "c": {"dtype": "F32", "shape": [1]}}), "the header entry of c is"),
    (file_bytes(changed("a", extra=1)), "the header entry of a is"),
    (file_bytes(changed("a", dtype="F31")), 'the header entry of a has the dtype "F31"'),
    (file_bytes(changed("a", dtype=[])), "the header entry of a has the dtype []"),
    (file_bytes(changed("a", shape=[-2, -2])), "the header entry of a has the shape [-2, -2]"),
    (file_bytes(changed("a", shape=[2.0, 2])), "the header entry of a has the shape [2.0, 2]"),
    (file_bytes(changed("a", shape=4)), "the header entry of a has the shape 4"),
    (file_bytes(changed("a", shape=[1] * 99)), "the header entry of a has the shape"),
    (file_bytes(changed("a", shape=[2, 3])), "[0, 16], 16 bytes; F32 of shape [2, 3] takes 24"),
    (file_bytes(changed("a", shape=[1 << 61, 1 << 61])), "16 bytes; F32 of shape"),
    (file_bytes(changed("a", data_offsets=[0])), "the header entry of a has data_offsets [0]"),
    (file_bytes(changed("a", data_offsets=[16, 0])), "the header entry of a has data_offsets"),
    (file_bytes(changed("a", data_offsets=[-16, 0])), "the header entry of a has data_offsets"),
    (file_bytes(changed("b", data_offsets=[14, 20])), "the data of b overlaps"),
    (file_bytes(changed("b", data_offsets=[18, 24])), "the data of b begins after a gap"),
    (file_bytes(HEADER, DATA[:-1]), "the data of b ends at byte"),
    (file_bytes(HEADER, DATA + b"\0"), "has 1 bytes behind its last tensor"),
    (file_bytes({"x\x1b[31m": 7}, b""), "the header entry of x\\u001b[31m is 7"),
])
def test_a_lie_is_named(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        SafetensorsFile(path)
    assert str(path) in str(error.value)


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder; it must be a regular file"):
        SafetensorsFile(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        SafetensorsFile(tmp_path / "none")


def test_a_file_that_shrinks_while_open(tmp_path):
    path = write(tmp_path, file_bytes(HEADER))
    with SafetensorsFile(path) as file:
        with path.open("r+b") as other:
            other.truncate(path.stat().st_size - 8)
        with pytest.raises(CheckpointError, match="the file ends inside of a"):
            file.read("a")


def verdicts(tmp_path, content):
    """Arrays as this module and as the reference implementation read them; None: refused."""
    try:
        with SafetensorsFile(write(tmp_path, content)) as file:
            ours = {name: (entry.dtype, entry.shape, file.read(name).tobytes())
                    for name, entry in file.tensors.items()}
    except CheckpointError:
        ours = None
    try:
        theirs = {
            name: (entry["dtype"], tuple(entry["shape"]), bytes(entry["data"]))
            for name, entry in safetensors.deserialize(content)
        }
    except safetensors.SafetensorError:
        theirs = None
    return ours, theirs


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@given(st.data())
def test_mutated_bytes_are_read_as_the_reference_does_or_refused(scratch, data):
    content = bytearray(file_bytes({"__metadata__": {"k": "v"}, **HEADER}))
    for _ in range(data.draw(st.integers(1, 3), "mutations")):
        at = data.draw(st.integers(0, len(content) - 1), "at")
        content[at] = data.draw(st.integers(0, 255), "byte")
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)), "cut")
    ours, theirs = verdicts(scratch, bytes(content[:cut]))
    assert ours is None or ours == theirs


sizes = st.integers(-1, 4) | st.sampled_from([1 << 31, 1 << 32, 1 << 62, 1 << 63, 1 << 64, 1 << 90])
entries = st.fixed_dictionaries({
    "dtype": st.sampled_from(["F32", "U8", "BF16", "F8_E4M3", "BOOL", "?"]),
    "shape": st.lists(sizes, max_size=3),
    "data_offsets": st.lists(st.integers(-1, 16) | sizes, min_size=2, max_size=2),
})


@given(st.dictionaries(st.text(max_size=3), entries, max_size=3), st.binary(max_size=16))
def test_made_up_headers_are_read_as_the_reference_does_or_refused(scratch, header, data):
    ours, theirs = verdicts(scratch, file_bytes(header, data))
    assert ours is None or ours == theirs


@given(st.lists(st.sampled_from(["u1", "i1", "f2", "f4"]), max_size=4), st.data())
def test_what_the_reference_writes_is_read(scratch, dtypes, data):
    arrays = {
        f"t{index}": np.zeros(data.draw(st.lists(st.integers(0, 3), max_size=3)), dtype)
        for index, dtype in enumerate(dtypes)
    }
    ours, theirs = verdicts(scratch, safetensors.numpy.save(arrays))
    assert ours is not None
    assert ours == theirs
