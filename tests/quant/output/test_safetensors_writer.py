"""The streaming safetensors writer, read back with the safetensors library."""

import errno
import json
import os

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from trilobite.errors import OutputError
from trilobite.quant.output import safetensors_writer as writer_module
from trilobite.quant.output.safetensors_writer import (
    SafetensorsWriter,
    TensorEntry,
    safetensors_bytes,
)

TYPES = {
    "U8": np.uint8, "I8": np.int8, "F16": np.float16, "F32": np.float32,
    "BF16": ml_dtypes.bfloat16,
}


def write(path, tensors, blocks=1):
    entries = {
        name: TensorEntry(next(k for k, v in TYPES.items() if v == array.dtype), array.shape)
        for name, array in tensors.items()
    }
    with SafetensorsWriter(path, entries) as writer:
        for block in range(blocks):   # tensors take turns
            for name, array in tensors.items():
                part = np.array_split(array, blocks)[block]
                bits = part.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else part
                writer.append(name, bits)
    return entries


def test_a_file_worked_out_by_hand(tmp_path):
    path = tmp_path / "x.safetensors"
    write(path, {"a": np.uint8([1, 2, 3]), "b": np.float32([[1.0]])})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length]) == {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},   # the wider type first
        "a": {"dtype": "U8", "shape": [3], "data_offsets": [4, 7]},
    }
    assert data[8 + length :] == bytes.fromhex("0000803f 010203")


@given(
    shapes=st.lists(
        st.tuples(st.sampled_from(list(TYPES)), st.integers(1, 7), st.integers(1, 5)),
        min_size=1, max_size=8,
    ),
    blocks=st.integers(1, 4),
)
def test_the_safetensors_library_reads_the_same(tmp_path_factory, shapes, blocks):
    path = tmp_path_factory.mktemp("writer") / "x.safetensors"
    generator = np.random.default_rng(len(shapes))
    tensors = {
        f"tensor {i}": generator.integers(-100, 100, (rows, columns)).astype(TYPES[dtype])
        for i, (dtype, rows, columns) in enumerate(shapes)
    }
    entries = write(path, tensors, blocks)
    assert path.stat().st_size == safetensors_bytes(entries)
    loaded = load_file(path)
    assert set(loaded) == set(tensors)
    for name, array in tensors.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}


def test_every_tensor_is_aligned_for_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.safetensors"
    write(path, {"odd": np.uint8([1, 2, 3]), "half": np.float16([1.5]), "one": np.float32([2.5])})
    with safe_open(path, framework="pt") as file:
        assert file.get_tensor("one") == torch.tensor([2.5])
        assert file.get_tensor("half") == torch.tensor([1.5])


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_floats_come_back_from_float32_bit_by_bit(dtype):
    bits = np.arange(2**16, dtype=np.uint16)
    stored = bits.view(np.float32 if dtype == "F32" else TYPES[dtype])
    stored = stored[np.isfinite(stored.astype(np.float32))]
    written = TensorEntry(dtype, stored.shape).from_float32(stored.astype(np.float32))
    assert written.tobytes() == stored.tobytes()


def test_a_tensor_that_is_not_complete_is_an_error(tmp_path):
    entries = {"a": TensorEntry("U8", (4,))}
    with pytest.raises(OutputError, match="a got 3 of 4 bytes"), SafetensorsWriter(
        tmp_path / "x", entries
    ) as writer:
        writer.append("a", np.zeros(3, np.uint8))


def test_appending_too_much_or_another_type_is_an_error(tmp_path):
    entries = {"a": TensorEntry("U8", (4,))}
    with SafetensorsWriter(tmp_path / "x", entries) as writer:
        with pytest.raises(ValueError, match="stored as U8"):
            writer.append("a", np.zeros(4, np.int8))
        writer.append("a", np.zeros(4, np.uint8))
        with pytest.raises(ValueError, match="full"):
            writer.append("a", np.zeros(1, np.uint8))


def test_the_disk_is_given_work_beside_the_writing(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    monkeypatch.setattr(writer_module, "_SYNCED_BYTES", 8)
    values = np.arange(40, dtype=np.uint8)
    write(tmp_path / "x.safetensors", {"a": values}, blocks=4)
    np.testing.assert_array_equal(load_file(tmp_path / "x.safetensors")["a"], values)
    assert synced


@pytest.mark.parametrize("blocks", [1, 4])
def test_a_disk_that_fails_beside_the_writing_is_an_error(tmp_path, monkeypatch, blocks):
    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    monkeypatch.setattr(writer_module, "_SYNCED_BYTES", 8)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "x.safetensors", {"a": np.zeros(40, np.uint8)}, blocks)
