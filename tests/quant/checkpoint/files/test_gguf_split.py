"""A GGUF model in several files: read as one, or refused by the name of the file at fault."""

import shutil

import gguf
import numpy as np
import pytest

import trilobite
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.files.gguf_file import GgufFile
from trilobite.quant.export import EXPORTERS, export


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "whole.gguf"
    export("demo-llama", file, EXPORTERS["gguf"], "q8_0")
    return file


def split(whole, folder, count=3, shift=0, total=None):
    """``whole`` in ``count`` files, as gguf-split makes them."""
    with GgufFile(whole) as file:
        names = list(file.tensors)
        parts = np.array_split(names, count)
        for number, part in enumerate(parts):
            path = folder / f"model-{number + 1:05}-of-{count:05}.gguf"
            writer = gguf.GGUFWriter(path, "llama")
            if number == 0:
                for key, value in file.metadata.items():
                    add(writer, key, value)
            writer.add_uint16("split.no", number + shift * (number > 0))
            writer.add_uint16("split.count", count)
            writer.add_int32("split.tensors.count", total or len(names))
            for name in part:
                tensor = file.tensors[name]
                kind = gguf.GGMLQuantizationType[tensor.type.name]
                rows = file.rows(name)
                data = rows[0] if len(tensor.shape) == 1 else rows
                writer.add_tensor(name, data, raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
    return folder / f"model-00001-of-{count:05}.gguf"


def add(writer, key, value):
    if key == "general.architecture":
        return
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, np.ndarray):
        writer.add_array(key, value.tolist())
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)


def test_several_files_are_the_model_in_one(whole, tmp_path):
    first = split(whole, tmp_path)
    with open_checkpoint(whole) as one, open_checkpoint(first) as several:
        assert several.config == one.config
        assert [file.name for file in several.inputs] == [
            f"model-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
        for name in one.tensors:
            np.testing.assert_array_equal(several.read(name), one.read(name))
    expected = trilobite.generate(whole, "def ", 6)
    assert trilobite.generate(first, "def ", 6).tokens == expected.tokens


@pytest.mark.parametrize("change, said", [
    (lambda folder: (folder / "model-00002-of-00003.gguf").unlink(), "model-00002-of-00003.gguf"),
    (lambda folder: shutil.copy(folder / "model-00003-of-00003.gguf",
                                folder / "model-00002-of-00003.gguf"),
     r"00002-of-00003.gguf says that it is file 2 of 3"),
    (lambda folder: (folder / "model-00002-of-00003.gguf").write_bytes(b"GGUF" + bytes(99)),
     "model-00002-of-00003.gguf"),
])
def test_a_file_that_is_missing_or_another_is_named(whole, tmp_path, change, said):
    first = split(whole, tmp_path)
    change(tmp_path)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(first)


def test_another_than_the_first_is_refused_with_the_name_of_the_first(whole, tmp_path):
    split(whole, tmp_path)
    with pytest.raises(CheckpointError, match=r"file 2 of 3.*name model-00001-of-00003.gguf"):
        open_checkpoint(tmp_path / "model-00002-of-00003.gguf")


def test_a_first_file_with_another_name_cannot_find_the_others(whole, tmp_path):
    first = split(whole, tmp_path)
    first.rename(tmp_path / "renamed.gguf")
    with pytest.raises(CheckpointError, match=r"must end in -00001-of-00003.gguf"):
        open_checkpoint(tmp_path / "renamed.gguf")


def test_a_total_that_is_wrong_is_named(whole, tmp_path):
    first = split(whole, tmp_path, total=7)
    with pytest.raises(CheckpointError, match="split.tensors.count is 7"):
        open_checkpoint(first)
