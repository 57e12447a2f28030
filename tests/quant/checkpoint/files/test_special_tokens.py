import json
import shutil
from pathlib import Path

import pytest

import trilobite
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.files.gguf_file import GgufFile
from trilobite.quant.export import EXPORTERS, export
from trilobite.runtime.text import Tokenizer

DEMO = Path(trilobite.__file__).parent / "checkpoints" / "demo-llama"
IM_END = {"content": "<|im_end|>", "special": True, "lstrip": False, "normalized": False}


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(DEMO, copy)
    return copy


def change(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def ends(folder):
    with open_checkpoint(folder) as checkpoint:
        return checkpoint.config.eos_token_ids


@pytest.mark.parametrize(
    "generation, expected",
    [
        ({"eos_token_id": 7}, (7,)),
        ({"eos_token_id": [7, 1, 7]}, (1, 7)),   # the token that config.json has comes first
        ({"eos_token_id": None}, (1,)),
        ({"temperature": 0.7}, (1,)),
    ],
)
def test_generation_config_says_where_a_text_ends(folder, generation, expected):
    (folder / "generation_config.json").write_text(json.dumps(generation))
    assert ends(folder) == expected


def test_a_text_that_reaches_an_end_of_generation_config_is_complete(folder):
    model = trilobite.load(folder)
    unbounded = model.generate("def add(", 8)
    "".join(unbounded)
    third = unbounded.tokens[2]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [third]}))
    bounded = trilobite.load(folder).generate("def add(", 8)
    "".join(bounded)
    assert bounded.tokens == unbounded.tokens[:unbounded.tokens.index(third) + 1]


@pytest.mark.parametrize("end", ["<|end|>", {"content": "<|end|>", "special": True}])
def test_an_end_token_that_only_the_tokenizer_names(folder, end):
    change(folder / "config.json", eos_token_id=None)
    change(folder / "tokenizer_config.json", eos_token=end)
    assert ends(folder) == (1,)
    change(folder / "tokenizer_config.json", eos_token=None)
    assert ends(folder) == ()


@pytest.mark.parametrize(
    "generation, said", [({"eos_token_id": -1}, "below 1024"), ({"eos_token_id": ["<"]}, "list"),
                         ([], "object")],
)
def test_a_damaged_generation_config_is_named(folder, generation, said):
    (folder / "generation_config.json").write_text(json.dumps(generation))
    with pytest.raises(CheckpointError, match=f"generation_config.json.*{said}"):
        ends(folder)


def test_an_onnx_export_ends_where_generation_config_says(folder, tmp_path):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 1]}))
    export(folder, tmp_path / "onnx", EXPORTERS["onnx"])
    stated = json.loads((tmp_path / "onnx" / "genai_config.json").read_text())
    assert stated["model"]["eos_token_id"] == [1, 7]


def stated_beside(folder, by_decoder):
    """A token that tokenizer.json lacks, in one of the two files that may name it."""
    size = 1024
    if by_decoder:
        change(folder / "tokenizer_config.json", added_tokens_decoder={str(size): IM_END})
    else:
        (folder / "added_tokens.json").write_text(json.dumps({"<|im_end|>": size}))
        change(folder / "tokenizer_config.json", pad_token="<|im_end|>")
    return size


@pytest.mark.parametrize("by_decoder", [True, False])
def test_a_token_that_only_the_files_beside_name_is_one_token(folder, by_decoder):
    token = stated_beside(folder, by_decoder)
    tokenizer = Tokenizer(folder / "tokenizer.json", 0, (1,))
    ids = tokenizer.encode("x<|im_end|>")
    assert ids[-1] == token and ids.count(token) == 1
    assert tokenizer.decode(ids) == "x"   # it is special, so no text


@pytest.mark.parametrize("token_id, said", [(5, "has the id 5"), (-1, "id -1"), ("x", "id")])
def test_a_token_with_an_id_that_is_taken_is_refused(folder, token_id, said):
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_end|>": token_id}))
    with pytest.raises(CheckpointError, match=said):
        Tokenizer(folder / "tokenizer.json", 0, (1,))


def test_gguf_begins_a_text_as_the_tokenizer_does_and_knows_its_added_tokens(folder, tmp_path):
    content = json.loads((folder / "tokenizer.json").read_text())
    unused = content["model"]["vocab"].popitem()
    content["model"]["merges"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(content | {"post_processor": None}))
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_end|>": unused[1]}))
    export(folder, tmp_path / "model.gguf", EXPORTERS["gguf"], "f16")
    with GgufFile(tmp_path / "model.gguf") as file:
        assert file.metadata["tokenizer.ggml.add_bos_token"] is False
        assert file.metadata["tokenizer.ggml.tokens"][unused[1]] == "<|im_end|>"
