"""From a name to a folder, and from a folder to its files."""

import json
import re
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from support.checkpoints import edit_tensors
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import DEMOS, open_checkpoint, resolve

INDEX = "model.safetensors.index.json"


def edit_index(folder, edit):
    index = json.loads((folder / INDEX).read_text())
    edit(index["weight_map"])
    (folder / INDEX).write_text(json.dumps(index))


def test_demos_are_package_data():
    for name in DEMOS:
        assert (resolve(name) / "config.json").is_file()


def test_a_folder_of_ones_own_goes_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "demo-llama").mkdir()
    (tmp_path / "demo-llama" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert resolve("./demo-llama").samefile(tmp_path / "demo-llama")
    assert resolve(tmp_path / "demo-llama") == tmp_path / "demo-llama"


@pytest.mark.parametrize("name", ["nothing-here", "org/model", "demo-qwen"])
def test_no_such_folder(name):
    with pytest.raises(CheckpointError, match="by its name: demo-bitnet or demo-llama") as error:
        resolve(name)
    assert f"There is no checkpoint at {name};" in str(error.value)


def test_not_a_checkpoint_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        resolve(tmp_path)
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUX")
    with pytest.raises(CheckpointError, match=r"model\.gguf is a file, and not GGUF; give the fol"):
        resolve(file)
    file.write_bytes(b"GGUF")
    assert resolve(file) == file


@pytest.mark.parametrize(("name", "said"), [
    ("pytorch_model.bin", r"pickles \(pytorch_model.bin\), which can run code"),
    ("consolidated.safetensors", "Mistral's own names.*Hugging Face version"),
    ("consolidated.00-of-01.safetensors", "Mistral's own names"),
    ("adapter_model.safetensors", r"an adapter \(LoRA\) alone; merge it"),
    ("weights.safetensors", "has weights.safetensors, but neither.*rename a single"),
    ("notes.txt", "has neither model.safetensors nor"),
])
def test_no_weights(copy_of, name, said):
    folder = copy_of("llama")
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(folder)


def shards(folder, count):
    """The one file of a folder in ``count``, without an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for number in range(count):
        part = dict(list(tensors.items())[number::count])
        save_file(part, folder / f"model-{number + 1:05}-of-{count:05}.safetensors")
    return tensors


def test_shards_without_an_index_are_read(copy_of):
    folder = copy_of("llama")
    tensors = shards(folder, 3)
    with open_checkpoint(folder) as checkpoint:
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(checkpoint.read(name), tensor.float().numpy())


@pytest.mark.parametrize(("change", "said"), [
    (lambda folder: (folder / "model-00002-of-00003.safetensors").unlink(),
     "has no model-00002-of-00003.safetensors"),
    (lambda folder: shutil.copy(folder / "model-00001-of-00003.safetensors",
                                folder / "model-00001-of-00002.safetensors"),
     "models in 00002 and in 00003 parts"),
    (lambda folder: shutil.copy(folder / "model-00001-of-00003.safetensors",
                                folder / "model-00002-of-00003.safetensors"),
     "00002-of-00003.safetensors: .* is in another file, too"),
])
def test_shards_that_do_not_belong_together(copy_of, change, said):
    folder = copy_of("llama")
    shards(folder, 3)
    change(folder)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(folder)


@pytest.mark.parametrize("renamed", [
    lambda name: f"_orig_mod.{name}",
    lambda name: name.replace("model.", "model.language_model.", 1),
    lambda name: f"language_model.{name}",
])
def test_names_behind_a_wrappers_prefix(copy_of, renamed):
    folder = copy_of("llama")
    expected = {}

    def rename(tensors):
        expected.update({name: tensor.float().numpy() for name, tensor in tensors.items()})
        for name in list(tensors):
            tensors[renamed(name)] = tensors.pop(name)

    edit_tensors(folder, rename)
    with open_checkpoint(folder) as checkpoint:
        for name, values in expected.items():
            np.testing.assert_array_equal(checkpoint.read(name), values)


@pytest.mark.parametrize("shard", [
    "../model.safetensors", "/etc/model.safetensors", "a/model.safetensors", "C:x.safetensors",
    "..\\model.safetensors", "model.bin", "", 7, None, ["model.safetensors"], "a\0.safetensors",
    "/dev/zero",
])
def test_an_index_cannot_lead_out_of_the_folder(copy_of, shard):
    folder = copy_of("llama-sharded")
    edit_index(folder, lambda weight_map: weight_map.update({"lm_head.weight": shard}))
    with pytest.raises(CheckpointError, match=r"in the same folder$") as error:
        open_checkpoint(folder)
    assert f"{folder / INDEX}: lm_head.weight is said to be in" in str(error.value)


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": ["a"]}])
def test_an_index_without_a_map(copy_of, content):
    folder = copy_of("llama-sharded")
    (folder / INDEX).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match='"weight_map" must say which file holds which'):
        open_checkpoint(folder)


def test_missing_shard(copy_of):
    folder = copy_of("llama-sharded")
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=re.escape(f"calls for {shard.name}, which is not")):
        open_checkpoint(folder)


def test_index_and_shards_disagree(copy_of):
    folder = copy_of("llama-sharded")
    shards = sorted(file.name for file in folder.glob("*.safetensors"))

    def move(weight_map):
        other = shards[0] if weight_map["lm_head.weight"] == shards[1] else shards[1]
        weight_map["lm_head.weight"] = other

    edit_index(folder, move)
    with pytest.raises(CheckpointError, match="lm_head.weight is missing, which model.safet"):
        open_checkpoint(folder)


def test_tensor_that_the_index_does_not_know(copy_of):
    folder = copy_of("llama-sharded")
    edit_index(folder, lambda weight_map: weight_map.pop("model.layers.0.input_layernorm.weight"))
    with pytest.raises(CheckpointError, match="input_layernorm.weight is not listed in model.saf"):
        open_checkpoint(folder)


def test_the_single_file_goes_before_the_index(copy_of):
    folder = copy_of("llama")
    (folder / INDEX).write_text("damaged")
    with open_checkpoint(folder) as checkpoint:
        assert {info.file.name for info in checkpoint.tensors.values()} == {"model.safetensors"}
