"""A tokenizer.json for a folder that has another kind of vocabulary."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ....errors import CheckpointError
from ..files.fields import parse_json_object, shown
from ..files.special_tokens import begin_template
from .byte_level import SPLITS, byte_level_tokenizer, read_merges, tekken_tokenizer
from .pieces import tokenizer_of_pieces
from .sentencepiece import read_sentencepiece

__all__ = ["SOURCES", "made_tokenizer"]

SOURCES = ("tokenizer.model", "tekken.json", "vocab.json", "merges.txt")
# How text is split before it is merged, by the class that tokenizer_config.json names; None is what
# a folder without that file gets.
_CLASSES = {"Qwen2Tokenizer": "qwen2", "GPT2Tokenizer": "gpt-2", None: "gpt-2"}

Read = Callable[[str], "bytes | None"]   # what a file of the folder holds; None: there is none


def made_tokenizer(read: Read, folder: str) -> bytes | None:
    """The tokenizer.json that ``SOURCES`` make, the first that is there; None if none is.

    ``read`` is given the name of a file. A text gets the begin token that SentencePiece and tekken
    have, unless tokenizer_config.json says otherwise, as in ``transformers``.

    Raises
    ------
    CheckpointError
        A file is damaged, or splits text in a way that is not known.
    """
    content: dict[str, Any] | None = None
    settings = _object(read, "tokenizer_config.json", folder)
    begin: tuple[str, int] | None = None
    if (model := read("tokenizer.model")) is not None:
        pieces = read_sentencepiece(model, f"{folder}/tokenizer.model")
        content = tokenizer_of_pieces(pieces, legacy=settings.get("legacy") is not False)
        if pieces.begin is not None:
            begin = pieces.tokens[pieces.begin], pieces.begin
    elif read("tekken.json") is not None:
        where = f"{folder}/tekken.json"
        content, special = tekken_tokenizer(_object(read, "tekken.json", folder), where)
        if "<s>" in special:
            begin = "<s>", special["<s>"]
    elif read("vocab.json") is not None and read("merges.txt") is not None:
        content = _byte_level(read, settings, folder)
    if content is None:
        return None
    if begin is not None and settings.get("add_bos_token") is not False:
        content["post_processor"] = begin_template(*begin)
    return json.dumps(content, ensure_ascii=False).encode()


def _byte_level(read: Read, settings: dict[str, Any], folder: str) -> dict[str, Any]:
    """Of vocab.json and merges.txt; tokens that were added are in other files."""
    vocab = _object(read, "vocab.json", folder)
    for token, index in vocab.items():
        if type(index) is not int or not 0 <= index < 1 << 31:
            raise CheckpointError(f"{folder}/vocab.json: the token {shown(token)} has the id "
                                  f"{shown(index)}")
    kind = settings.get("tokenizer_class")
    name = kind.removesuffix("Fast") if isinstance(kind, str) else kind
    if name not in _CLASSES:
        known = ", ".join(each for each in _CLASSES if each)
        raise CheckpointError(
            f"{folder} has vocab.json and merges.txt for a {shown(kind)}, which splits text in a "
            f"way that is not known; known are {known}: add the model's tokenizer.json")
    try:
        text = (read("merges.txt") or b"").decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{folder}/merges.txt is not UTF-8: {error}") from None
    merges = read_merges(text, vocab, f"{folder}/merges.txt")
    content = byte_level_tokenizer(vocab, merges, [], SPLITS[_CLASSES[name]])
    if _CLASSES[name] == "qwen2":
        content["normalizer"] = {"type": "NFC"}
    return content


def _object(read: Read, name: str, folder: str) -> dict[str, Any]:
    content = read(name)
    return {} if content is None else parse_json_object(content, f"{folder}/{name}")
