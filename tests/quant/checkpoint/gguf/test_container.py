"""GGUF's container: what gguf writes is read, what lies is refused, our writer is read by gguf."""

import re
import struct

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint.gguf import GgufFile
from trilobite.quant.export.gguf_writer import GgufEntry, GgufWriter, Unsigned, gguf_bytes

U32, STRING, ARRAY = 4, 8, 9


def string(text):
    return struct.pack("<Q", len(text)) + text


def entry(key, kind, data):
    return string(key) + struct.pack("<I", kind) + data


def tensor(name, shape, kind=0, offset=0):
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name) + axes + struct.pack("<IQ", kind, offset)


def content(entries=(), tensors=(), data=b"", version=3, counts=None, magic=b"GGUF"):
    """A whole file; ``counts`` are what the header claims."""
    claimed = counts or (len(tensors), len(entries))
    head = magic + struct.pack("<IQQ", version, *claimed) + b"".join(entries) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


TWO = (tensor(b"a", (4, 2)), tensor(b"b", (32,), 2, 32))
GOOD = content([entry(b"k", U32, struct.pack("<I", 7))], TWO, bytes(range(32)) + bytes(18))


def write(folder, data):
    path = folder / "file.gguf"
    path.write_bytes(data)
    return path


def test_a_file_by_hand(tmp_path):
    with GgufFile(write(tmp_path, GOOD)) as file:
        assert file.metadata == {"k": 7}
        assert [(t.type.name, t.shape, t.nbytes) for t in file.tensors.values()] == [
            ("F32", (2, 4), 32), ("Q4_0", (32,), 18)
        ]
        np.testing.assert_array_equal(file.rows("a", 1, 2), [range(16, 32)])
        assert file.rows("b").shape == (1, 18)
        with pytest.raises(ValueError, match="a has 2 rows, not rows 1 to 3"):
            file.rows("a", 1, 3)


@pytest.mark.parametrize(("data", "message"), [
    (b"", "has 0 bytes and is no GGUF file"),
    (b"GGUF", "has 4 bytes and is no GGUF file"),
    (content(magic=b"GGML"), "is no GGUF file"),
    (content(version=1), "is version 1 of GGUF; versions 2 and 3 are read"),
    (content(version=3 << 24), "is a big-endian file of GGUF"),
    (content(counts=(1 << 60, 0)), f"claims {1 << 60} tensors in"),
    (content(counts=(0, 1 << 60)), f"claims {1 << 60} metadata entries in"),
    (content([string(b"k") + struct.pack("<I", 77) + bytes(9)]), "has the type 77, which is none"),
    (content([struct.pack("<Q", 1 << 62) + bytes(13)]), "a metadata key claims a string of"),
    (content([entry(b"k", STRING, struct.pack("<Q", 60) + b"abc")]), "ends inside of its header"),
    (content([entry(b"\xff\xfe", U32, bytes(4))]), "a metadata key is not UTF-8"),
    (content([entry(b"k", U32, bytes(4))] * 2), "the metadata key k comes twice"),
    (content([entry(b"k", ARRAY, struct.pack("<IQ", U32, 1 << 61))]), "ends inside of its header"),
    (content([entry(b"k", ARRAY, struct.pack("<IQ", STRING, 1 << 20))]), "claims 1048576 strings"),
    (content([entry(b"k", ARRAY, struct.pack("<IQ", ARRAY, 1) + bytes(20))]), "of type 9, not of"),
    (content([entry(b"general.alignment", U32, struct.pack("<I", 0))]), "must be a power of two"),
    (content([entry(b"general.alignment", U32, struct.pack("<I", 48))]), "is 48; it must be a"),
    (content(tensors=[tensor(b"a", ())]), "the tensor a has 0 axes"),
    (content(tensors=[tensor(b"a", (1,) * 5)]), "the tensor a has 5 axes"),
    (content(tensors=[tensor(b"a", (256,), 16)]), "the tensor a is IQ2_XXS; the types that are"),
    (content(tensors=[tensor(b"a", (32,), 99)]), "the tensor a is of the unknown type 99"),
    (content(tensors=[tensor(b"a", (0, 4))]), "the tensor a has the shape [4, 0]"),
    (content(tensors=[tensor(b"a", (33,), 2)]), "rows of Q4_0 are whole blocks of 32"),
    (content(tensors=[tensor(b"a", (1 << 61, 1 << 61))], data=bytes(64)), "it was cut short"),
    (content(tensors=[tensor(b"a", (1 << 63, 2))], data=bytes(64)), "the tensor a has the shape"),
    (content(tensors=[TWO[0], TWO[0]], data=bytes(64)), "the tensor a comes twice"),
    (content(tensors=[tensor(b"a", (4,), 0, 32)], data=bytes(64)), "a is said to begin at 32; af"),
    (content(tensors=[TWO[0], tensor(b"b", (8,), 0, 16)], data=bytes(64)), "b is said to begin at"),
    (content(tensors=[tensor(b"a", (4,), 0, 1 << 63)], data=bytes(64)), "a is said to begin at"),
    (content(tensors=TWO, data=bytes(40)), "the data of b ends at byte"),
    (content([entry(b"x\x1b[31m", 77, bytes(4))]), r"x\u001b[31m has the type 77"),
])
def test_a_lie_is_named(tmp_path, data, message):
    path = write(tmp_path, data)
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        GgufFile(path)
    assert str(path) in str(error.value)


def test_a_second_tensor_of_one_name(tmp_path):
    twice = (TWO[0], tensor(b"a", (32,), 2, 32))
    with pytest.raises(CheckpointError, match="the tensor a comes twice"):
        GgufFile(write(tmp_path, content(tensors=twice, data=bytes(64))))


def test_a_file_that_shrinks_while_open(tmp_path):
    path = write(tmp_path, GOOD)
    with GgufFile(path) as file:
        with path.open("r+b") as other:
            other.truncate(path.stat().st_size - 8)
        with pytest.raises(CheckpointError, match="the file ends inside of b"):
            file.rows("b")


def test_what_gguf_writes_is_read(tmp_path):
    path = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    writer.add_array("words", ["a", "é", ""])
    writer.add_array("numbers", [1, -2, 3])
    writer.add_bool("yes", True)
    writer.add_float64("precise", 0.1)
    weight = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    packed = gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("plain", weight)
    writer.add_tensor("packed", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GgufFile(path) as file:
        assert file.metadata["words"] == ["a", "é", ""]
        assert file.metadata["numbers"].tolist() == [1, -2, 3]
        assert (file.metadata["yes"], file.metadata["precise"]) == (True, 0.1)
        assert file.rows("plain").tobytes() == weight.tobytes()
        assert file.rows("packed", 1).tobytes() == packed[1:].tobytes()


VALUES = st.one_of(
    st.booleans(), st.text(max_size=5), st.integers(0, 2**32 - 1).map(Unsigned),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.lists(st.text(max_size=4), min_size=1, max_size=4),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=4),
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc.", min_size=1, max_size=6), VALUES, max_size=4),
       st.lists(st.sampled_from(["F32", "BF16", "Q4_0", "TQ2_0"]), max_size=3))
def test_what_is_written_is_read_by_gguf_and_by_us(tmp_path_factory, metadata, types):
    path = tmp_path_factory.mktemp("written") / "ours.gguf"
    path.touch()
    entries = {f"t{index}": GgufEntry(name, (2, 256)) for index, name in enumerate(types)}
    blocks = {name: np.random.default_rng(0).integers(0, 256, (2, entry.nbytes // 2), np.uint8)
              for name, entry in entries.items()}
    with GgufWriter(path, metadata, entries) as writer:
        for name, block in blocks.items():
            writer.append(name, block[:1])
            writer.append(name, block[1:])
    assert path.stat().st_size == gguf_bytes(metadata, entries)
    theirs = gguf.GGUFReader(path)
    for tensor_read in theirs.tensors:
        assert tensor_read.data.tobytes() == blocks[tensor_read.name].tobytes()
        assert tensor_read.shape.tolist() == [256, 2]
    with GgufFile(path) as ours:
        for key, value in metadata.items():
            read = ours.metadata[key]
            # A float32 is read as the shortest decimal that rounds to it.
            assert np.array_equal(np.float32(read) if isinstance(value, float) else read, value)
            read = theirs.fields[key].contents()
            assert np.array_equal(read, value)
        for name, block in blocks.items():
            assert ours.rows(name).tobytes() == block.tobytes()


@given(st.data())
def test_mutated_files_are_read_or_refused(tmp_path_factory, data):
    mutated = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(mutated)) | st.just(len(mutated)))
    path = write(tmp_path_factory.mktemp("mutated"), bytes(mutated[:cut]))
    try:
        with GgufFile(path) as file:
            for name in file.tensors:
                file.rows(name)
    except CheckpointError as error:
        assert str(path) in str(error)
