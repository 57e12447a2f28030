import json
import shutil
from pathlib import Path

import pytest

import trilobite
from trilobite.errors import CheckpointError, TrilobiteError
from trilobite.runtime.text import Tokenizer, held_out_documents

DEMO = Path(trilobite.__file__).parent / "checkpoints" / "demo-llama"


@pytest.fixture
def folder(tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json", "training.json"):
        shutil.copy(DEMO / name, tmp_path / name)
    return tmp_path


def test_text_comes_back_with_a_begin_token_in_front():
    tokenizer = Tokenizer(DEMO / "tokenizer.json", 0, (1,))
    ids = tokenizer.encode("def é naïve(x):\n    return x")
    assert ids[0] == 0
    assert tokenizer.decode(ids) == "def é naïve(x):\n    return x"


def test_streamed_pieces_join_to_the_text_even_inside_a_character():
    tokenizer = Tokenizer(DEMO / "tokenizer.json", 0, (1,))
    text = "name = '€uro naïve ☃'"
    pieces = list(tokenizer.stream(tokenizer.encode(text)))
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)


@pytest.mark.parametrize(
    "settings", [{"bos_token": None}, {"bos_token": "<|begin|>", "add_bos_token": False}]
)
def test_models_without_a_begin_token_get_none(folder, settings):
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert 0 not in Tokenizer(folder / "tokenizer.json", 0, (1,)).encode("x = 1")


def test_documents_are_wrapped_in_begin_and_end_tokens():
    tokenizer = Tokenizer(DEMO / "tokenizer.json", 0, (1,))
    ids = tokenizer.encode_documents(["a", "b"])
    assert ids.count(0) == ids.count(1) == 2
    assert (ids[0], ids[-1]) == (0, 1)


@pytest.mark.parametrize("content", [None, "{", '{"model": 3}'])
def test_a_missing_or_broken_tokenizer_is_named(tmp_path, content):
    file = tmp_path / "tokenizer.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CheckpointError, match="tokenizer.json"):
        Tokenizer(file, 0)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_tokenizer_config_is_named(folder, content):
    (folder / "tokenizer_config.json").write_text(content)
    with pytest.raises(CheckpointError, match="tokenizer_config.json"):
        Tokenizer(folder / "tokenizer.json", 0)


def test_held_out_documents_are_the_named_modules_in_path_order():
    documents = held_out_documents(DEMO / "training.json")
    assert len(documents) == 16
    assert "class ColorsysTest" not in documents[0]
    assert "rgb_to_hls" in documents[0]   # colorsys.py sorts first


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "name a text file"),
        ("{", "not valid JSON"),
        ("{}", "held_out_modules"),
        ('{"held_out_modules": ["no_such_module.py"]}', "no_such_module"),
        ('{"held_out_modules": ["../../../../etc/passwd"]}', "outside|lacks"),
    ],
)
def test_a_training_file_that_cannot_be_used_is_explained(tmp_path, content, said):
    file = tmp_path / "training.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(TrilobiteError, match=said):
        held_out_documents(file)
