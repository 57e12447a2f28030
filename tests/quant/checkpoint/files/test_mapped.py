"""Tensors where a file is mapped: the same bytes, uncopied, and let go of with the last view."""

import mmap
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint.files.locate import StoredEntry
from trilobite.quant.checkpoint.files.safetensors_file import SafetensorsFile
from trilobite.quant.checkpoint.files.source import PlainTensor
from trilobite.quant.checkpoint.quantized import QuantizedTensor
from trilobite.quant.formats import Int8

SHAPE = (1024, 2048)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "codes": rng.integers(-127, 128, SHAPE, np.int8),
        "floats": rng.standard_normal(SHAPE, np.float32),
        "scales": rng.uniform(0.5, 1, (SHAPE[0], 1)).astype(np.float32),
    }


@pytest.fixture
def path(tmp_path, arrays):
    save_file(arrays, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def owner(array):
    """What holds an array's memory."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def mapped_kilobytes(path):
    """How much of a mapped file is in this process's memory."""
    text = Path("/proc/self/smaps").read_text()
    found = re.findall(re.escape(str(path)) + r"\n(?:.*\n)*?Rss: +(\d+) kB", text)
    return sum(map(int, found))


def test_a_view_is_the_files_memory(path, arrays):
    with SafetensorsFile(path, mapped=True) as file:
        views = {name: file.view(name) for name in arrays}
        for name, array in arrays.items():
            assert views[name].dtype == array.dtype
            np.testing.assert_array_equal(views[name], array)
            np.testing.assert_array_equal(views[name], file.read(name))
            assert isinstance(owner(file.read(name)), np.ndarray)
        assert owner(views["codes"]) is owner(views["floats"])
        assert isinstance(owner(views["codes"]), mmap.mmap)
        assert isinstance(owner(views["scales"]), np.ndarray)   # too small to be worth it
    np.testing.assert_array_equal(views["codes"], arrays["codes"])   # the file is closed


def test_no_view_without_a_map(path, arrays):
    with SafetensorsFile(path) as file:
        np.testing.assert_array_equal(file.view("codes"), arrays["codes"])
        assert isinstance(owner(file.view("codes")), np.ndarray)


def test_floats_at_odd_places_are_copied(tmp_path, arrays):
    """Their offset is a multiple of 4 only by chance: compiled code relies on it."""
    path = tmp_path / "odd.safetensors"
    save_file({"bytes": np.zeros(3, np.uint8), "floats": arrays["floats"]}, path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8:8 + length].rstrip() + b" "
    while len(header) % 4 != 1:
        header += b" "
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length:])
    with SafetensorsFile(path, mapped=True) as file:
        assert file.tensors["floats"].begin % 4
        view = file.view("floats")
        assert view.flags.aligned
        np.testing.assert_array_equal(view, arrays["floats"])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/smaps is Linux's")
def test_pages_are_let_go_of_with_the_last_view(path):
    with SafetensorsFile(path, mapped=True) as file:
        floats, codes = file.view("floats"), file.view("codes")
        part = floats[10:20]
        assert floats.sum() + codes.sum(dtype=np.int64)
        assert mapped_kilobytes(path) >= (floats.nbytes + codes.nbytes) >> 10
        del floats
        assert mapped_kilobytes(path) >= (8 << 20) >> 10   # for ``part``
        expected = part.copy()
        del part
        assert mapped_kilobytes(path) <= (codes.nbytes >> 10) + 128
        np.testing.assert_array_equal(file.view("floats")[10:20], expected)


def test_a_file_that_shrank_before_it_is_mapped(path):
    with SafetensorsFile(path, mapped=True) as file:
        with path.open("r+b") as other:
            other.truncate(path.stat().st_size // 2)
        large = [name for name, tensor in file.tensors.items() if tensor.nbytes > 1 << 20]
        last = max(large, key=lambda name: file.tensors[name].end)
        with pytest.raises(CheckpointError, match=f"the file ends inside of {last}") as error:
            file.view(last)
        assert str(path) in str(error.value)


def test_a_truncated_file_is_not_mapped(path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="it was cut short"):
        SafetensorsFile(path, mapped=True)


def test_a_file_that_the_system_does_not_map(path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with SafetensorsFile(path, mapped=True) as file:
        with pytest.raises(CheckpointError, match="cannot be mapped .* --no-mmap") as error:
            file.view("codes")
        assert str(path) in str(error.value)


def test_weights_are_views_that_have_been_checked(path, arrays):
    with SafetensorsFile(path, mapped=True) as file:
        plain = PlainTensor("w", SHAPE, StoredEntry(file, "floats")).weight()
        np.testing.assert_array_equal(plain, arrays["floats"])
        assert isinstance(owner(plain), mmap.mmap)
        parts = {"packed": StoredEntry(file, "codes"), "scale": StoredEntry(file, "scales")}
        packed = QuantizedTensor("w", SHAPE, Int8(), parts).weight()
        np.testing.assert_array_equal(packed.tensors["packed"], arrays["codes"])
        assert isinstance(owner(packed.tensors["packed"]), mmap.mmap)


@pytest.mark.parametrize(("name", "position", "value", "message"), [
    ("floats", (700, 3), np.nan, r"floats holds nan at \[700, 3\]; weights must be finite"),
    ("scales", (5, 0), np.inf, r"scales holds inf at \[5, 0\]; weights must be finite"),
    ("codes", (1023, 2047), -128, "w is damaged: int8: code -128"),
])
def test_what_is_wrong_in_a_view_is_named(tmp_path, arrays, name, position, value, message):
    arrays[name][position] = value
    save_file(arrays, tmp_path / "model.safetensors")
    with SafetensorsFile(tmp_path / "model.safetensors", mapped=True) as file:
        parts = {"packed": StoredEntry(file, "codes"), "scale": StoredEntry(file, "scales")}
        sources = [
            PlainTensor("w", SHAPE, StoredEntry(file, "floats")),
            QuantizedTensor("w", SHAPE, Int8(), parts),
        ]
        with pytest.raises(CheckpointError, match=message):
            sources[name != "floats"].weight()
