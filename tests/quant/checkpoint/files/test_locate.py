"""From a name to a folder, and from a folder to its files."""

import json
import re

import pytest

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


def test_no_weights(copy_of):
    folder = copy_of("llama")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="has neither model.safetensors nor"):
        open_checkpoint(folder)


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
