import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trilobite
from trilobite.errors import CheckpointError, TrilobiteError
from trilobite.runtime.text import Tokenizer, held_out_documents, read_text

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


def without_template(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content | {"post_processor": None}))


@pytest.mark.parametrize("adds", [None, False])
@pytest.mark.parametrize("template", [True, False])
def test_a_text_begins_as_in_transformers(folder, template, adds):
    transformers = pytest.importorskip("transformers")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>"}
    if adds is not None:
        settings["add_bos_token"] = adds
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    shutil.copy(DEMO / "config.json", folder)
    if not template:
        without_template(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)("x = 1").input_ids
    assert Tokenizer(folder / "tokenizer.json", 0, (1,)).encode("x = 1") == theirs
    assert (theirs[0] == 0) is template


@pytest.mark.parametrize("begin", ["<|begin|>", None])
def test_a_begin_token_that_is_asked_for_is_added_without_a_template(folder, begin):
    without_template(folder)
    settings = {"bos_token": begin, "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ids = Tokenizer(folder / "tokenizer.json", 0, (1,)).encode("x = 1")
    assert (ids[0] == 0) is (begin is not None)


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


def byte_fallback(tmp_path):
    """A tokenizer of bytes, each a token <0xNN>, and the letters a and b."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)} | {"a": 256, "b": 257}
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
        "post_processor": None, "decoder": {"type": "ByteFallback"}, "truncation": None,
        "padding": None,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": True},
    }))
    return Tokenizer(file)


def test_half_a_character_at_the_end_is_a_replacement_character(tmp_path):
    emoji = list("😀".encode())
    pieces = list(byte_fallback(tmp_path).stream([256, *emoji, 257, *emoji[:2]]))
    assert pieces == ["a", "😀", "b", "\ufffd\ufffd"]
    tokenizer = Tokenizer(DEMO / "tokenizer.json", 0, (1,))
    ids = tokenizer.encode("x = '☃")
    text = "".join(tokenizer.stream(ids[:-1]))
    assert text.endswith("\ufffd") and text == tokenizer.decode(ids[:-1])


def test_a_byte_that_does_not_fit_is_a_replacement_character(tmp_path):
    """The library's own stream ends with "Invalid prefix" here: the whole run of bytes changes."""
    tokenizer = byte_fallback(tmp_path)
    assert "".join(tokenizer.stream([256, 0xC3, 0xA9, 0xFF, 257])) == "aé\ufffdb"
    assert "".join(tokenizer.stream([0xFF, 0xFE, 256])) == "\ufffd\ufffda"


@given(st.lists(st.integers(0, 4095), max_size=40))
def test_pieces_join_to_the_decoded_text_whatever_the_tokens(ids):
    tokenizer = Tokenizer(DEMO / "tokenizer.json", 0, (1,))
    assert "".join(tokenizer.stream(ids)) == tokenizer.decode(ids)


def test_a_byte_order_mark_is_no_text(tmp_path):
    plain, marked = tmp_path / "plain.txt", tmp_path / "marked.txt"
    plain.write_bytes("x = 1\n\ufeff".encode())
    marked.write_bytes("\ufeffx = 1\n\ufeff".encode())
    assert read_text(plain) == read_text(marked) == "x = 1\n\ufeff"


def test_text_that_was_not_utf8_is_refused():
    tokenizer = Tokenizer(DEMO / "tokenizer.json", 0, (1,))
    with pytest.raises(TrilobiteError, match=r"not UTF-8: character 3 .*\\udcff"):
        tokenizer.encode(b"ab\xff".decode(errors="surrogateescape"))
