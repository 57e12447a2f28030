"""Tokenizers of strangers: what would end the process is refused, with the file and the part."""

import json

import pytest

from support.hostile_tokenizers import (
    PADDING,
    TEXT,
    TRUNCATION,
    replace,
    seeds,
    sequence,
    special,
    template,
    tokenizer_json,
)
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint.files.tokenizer_file import check_tokenizer, vocabulary
from trilobite.runtime.text import Tokenizer


def opened(tmp_path, content):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content))
    return Tokenizer(file)


def model(**changes):
    return {**tokenizer_json()["model"], **changes}


@pytest.mark.parametrize(("changes", "match"), [
    ({"normalizer": {"type": "Sequence", "normalizers": [replace({"String": "l"}, "l" * 9)] * 2}},
     "its normalizer makes up to 81 characters of one"),
    ({"normalizer": replace({"Regex": ""}, "x" * 100)}, "makes up to 101 characters"),
    ({"normalizer": replace({"String": ""}, "x")}, 'replaces "", which is no text'),
    ({"normalizer": {"type": "Prepend", "prepend": "x" * 10**6}}, "before a text"),
    ({"normalizer": {"type": "Sequence", "normalizers": [1]}}, "it must be an object"),
    ({"decoder": {"type": "Sequence", "decoders": [replace({"String": "a"}, "b" * 99)]}},
     "its decoder makes up to 99"),
    ({"post_processor": template(special("[X]"), sequence("A"))}, "which it does not define"),
    ({"post_processor": template(sequence("B"))}, "which it does not define"),
    ({"post_processor": template(*[sequence("A")] * 65)}, "has 65 parts"),
    ({"post_processor": template({})}, "which it does not define"),
    ({"added_tokens": {}}, None), ({"added_tokens": [1]}, 'has no "content"'),
    ({"added_tokens": [{"content": "x"}]}, 'has no "id"'),
    ({"added_tokens": [{"content": "x", "id": -1}]}, "the id -1"),
    ({"added_tokens": [{"content": "x", "id": 2**40}]}, "the id 1099511627776"),
    ({"added_tokens": "x"}, "it must be a list"),
    ({"model": None}, '"model" is null'), ({"model": {"type": "X"}}, '"model" is "X"'),
    ({"model": model(vocab=3)}, "it must be an object or a list"),
    ({"model": model(vocab={"a": "b"})}, 'the id "b"'),
    ({"model": model(vocab=[["a"]])}, "pairs of token and score"),
    ({"model": model(merges=3)}, '"merges" is 3'), ({"model": model(merges=["a"])}, "no pair"),
    ({"model": model(merges=[["a", 1]])}, "no pair"),
    ({"model": model(vocab={"\ud800": 1})}, "is no text"),
])
def test_what_is_refused(changes, match):
    content = tokenizer_json(**changes)
    if match is None:
        check_tokenizer(content, "here")
        return
    with pytest.raises(CheckpointError, match=match) as error:
        check_tokenizer(content, "here")
    assert str(error.value).startswith("here")


def test_the_vocabulary_has_the_added_tokens_too():
    content = tokenizer_json(added_tokens=[{"content": "<new>", "id": 999}])
    tokens = vocabulary(content, "here")
    assert tokens["<new>"] == 999 and tokens["hello"] == len(tokens) - 3


@pytest.mark.parametrize("data", seeds())
def test_sound_tokenizers_are_taken(tmp_path, data):
    tokenizer = opened(tmp_path, json.loads(data))
    assert tokenizer.decode(tokenizer.encode("h")) is not None


def test_text_is_neither_cut_nor_filled_up(tmp_path):
    plain = opened(tmp_path, tokenizer_json()).encode(TEXT)
    assert len(plain) > 20
    padding = {**PADDING, "strategy": {"Fixed": 2**27}}
    for changes in ({"padding": padding}, {"truncation": TRUNCATION},
                    {"truncation": {**TRUNCATION, "stride": 20}}):
        assert opened(tmp_path, tokenizer_json(**changes)).encode(TEXT) == plain


@pytest.mark.parametrize(("changes", "text"), [
    ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated",
                        "invert": False}}, "a" * 40 + "b"),
    ({"model": {"type": "WordLevel", "unk_token": "nope", "vocab": {"a": 0}}}, "b"),
    ({"model": {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]]}}, "b"),
])
def test_what_the_library_gives_up_on_is_a_sentence(tmp_path, changes, text):
    tokenizer = opened(tmp_path, tokenizer_json(**changes))
    with pytest.raises(CheckpointError, match="tokenizer.json cannot split this text into tokens"):
        tokenizer.encode(text)
