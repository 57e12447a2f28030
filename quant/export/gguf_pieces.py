"""A tokenizer.json of SentencePiece's kind as llama.cpp's "llama" vocabulary: tokens with scores.

tokenizer.json says which pairs merge first, llama.cpp which results do. The scores that are written
are the order of results; a tokenizer whose merges have no such order is refused.
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import CheckpointError
from ..checkpoint.files.fields import shown
from ..checkpoint.vocabularies.pieces import (
    BYTE,
    NORMAL,
    UNKNOWN,
    USER,
    Pieces,
    check_pieces,
    merges_of,
    user_defined,
)
from .gguf_writer import Unsigned

__all__ = ["is_pieces", "pieces_metadata"]

_BLANK = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_LAST = -1e9   # the score of what no merge makes


def is_pieces(model: object) -> bool:
    """Whether the ``model`` of a tokenizer.json is BPE of pieces, which falls back to bytes."""
    return isinstance(model, dict) and model.get("type") == "BPE" and bool(
        model.get("byte_fallback"))


def pieces_metadata(
    content: dict[str, Any], tokens: list[str], types: list[int], where: str
) -> dict[str, Any]:
    """llama.cpp's metadata of a checked tokenizer.json with tokens by id and their types.

    Raises ``CheckpointError``, beginning with ``where``, if llama.cpp would split text otherwise.
    """
    model = content["model"]
    dummy, user = _before(content, where)
    unknown = model.get("unk_token")
    ids = {token: index for index, token in enumerate(tokens)}
    kinds = [
        BYTE if kind == NORMAL and _BYTE.fullmatch(token) else
        UNKNOWN if token == unknown else USER if token in user else kind
        for token, kind in zip(tokens, types, strict=True)
    ]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge
             for merge in model.get("merges") or []]
    scores = _scores(pairs, tokens, where)
    pieces = Pieces(tokens, scores, kinds, unknown=ids.get(unknown), dummy_prefix=dummy)
    check_pieces(pieces, where)
    mergeable = {tuple(pair) for pair in merges_of(pieces)}
    missing = mergeable - {tuple(pair) for pair in pairs}
    if missing:
        raise CheckpointError(f"{where}: llama.cpp would merge {shown(min(missing))}, which are "
                              "tokens that make a token, and this tokenizer does not")
    values: dict[str, Any] = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.add_space_prefix": dummy,
    }
    if unknown in ids:
        values["tokenizer.ggml.unknown_token_id"] = Unsigned(ids[unknown])
    return values


def _scores(pairs: list[list[str]], tokens: list[str], where: str) -> list[float]:
    """Minus the place of each token among the results of merges, in their order."""
    places: dict[str, int] = {}
    before = None
    for left, right in pairs:
        result = left + right
        if result != before and result in places:
            raise CheckpointError(
                f"{where}: {shown(result)} is made by merges of different urgency, for which "
                "llama.cpp has no score")
        places.setdefault(result, len(places))
        before = result
    return [float(-places[token]) if token in places else _LAST for token in tokens]


def _before(content: dict[str, Any], where: str) -> tuple[bool, set[str]]:
    """Whether a blank is put before a text, and user-defined pieces.

    Refuses steps that llama.cpp has not.
    """
    user: set[str] = set()
    steps = [*_steps(content.get("normalizer")), *_steps(content.get("pre_tokenizer"))]
    prefix = escaped = False
    for step in steps:
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "Prepend" and step.get("prepend") == _BLANK:
            prefix = True
        elif kind == "Metaspace" and step.get("split") is False and (
            step.get("replacement") == _BLANK
        ):
            prefix |= step.get("prepend_scheme", "always") != "never"
            escaped = True
        elif kind == "Replace" and step.get("pattern") == {"String": " "} and (
            step.get("content") == _BLANK
        ):
            escaped = True
        elif kind == "Replace" and step.get("pattern") == {"Regex": r"\A" + _BLANK}:
            continue   # see ``vocabularies.pieces``
        elif kind == "Split" and step.get("behavior") == "Isolated" and (
            found := user_defined((step.get("pattern") or {}).get("Regex"))
        ):
            user |= set(found)   # llama.cpp takes them whole by their type
        else:
            raise CheckpointError(f"{where}: {shown(step)} has no counterpart in llama.cpp's "
                                  "vocabulary of pieces")
    if not escaped:
        raise CheckpointError(f"{where}: blanks are not written as {_BLANK}, as llama.cpp's "
                              "vocabulary of pieces has them")
    return prefix, user


def _steps(part: object) -> list[Any]:
    """The steps of a normalizer or pre-tokenizer."""
    if part is None:
        return []
    if isinstance(part, dict) and part.get("type") == "Sequence":
        inner = part.get("normalizers", part.get("pretokenizers"))
        return inner if isinstance(inner, list) else [inner]
    return [part]
