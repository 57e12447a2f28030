"""Pieces with scores, as SentencePiece and llama.cpp's "llama" vocabularies have them.

They become a tokenizer.json that splits text as ``SentencePieceProcessor.encode`` does, in the way
of ``transformers`` 5 (``SpmConverter.build_tokenizer_from_spm_proto``).
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass
from typing import Any

from ....errors import CheckpointError
from ..files.fields import shown

__all__ = ["BYTE", "CONTROL", "NORMAL", "UNKNOWN", "UNUSED", "USER", "Pieces", "check_pieces",
           "merges_of", "tokenizer_of_pieces", "user_defined"]

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6   # types
_BLANK = "▁"
_LONGEST = 512           # characters of a piece
_MOST_USER_DEFINED = 1 << 14
_MOST_SPLITS = 1 << 26   # of all pieces, each of which is looked at


@dataclass(frozen=True)
class Pieces:
    """A vocabulary by id, and what is done to a text before it is split.

    ``unknown`` and ``begin`` are ids or None; ``dummy_prefix`` puts a blank before a text,
    ``one_space`` makes runs of blanks one and takes them from the ends, ``escape`` writes blanks as
    U+2581, ``charsmap`` is SentencePiece's compiled normalization.
    """

    tokens: list[str]
    scores: list[float]
    types: list[int]
    unigram: bool = False
    byte_fallback: bool = True
    unknown: int | None = 0
    begin: int | None = None
    dummy_prefix: bool = True
    one_space: bool = False
    escape: bool = True
    charsmap: bytes = b""


def check_pieces(pieces: Pieces, where: str) -> None:
    """Raise ``CheckpointError``, beginning with ``where``, unless the vocabulary can be used."""
    if not pieces.tokens:
        raise CheckpointError(f"{where} has no pieces")
    seen: set[str] = set()
    splits = 0
    for token, score, kind in zip(pieces.tokens, pieces.scores, pieces.types, strict=True):
        if not token or len(token) > _LONGEST or token in seen:
            what = "comes twice" if token in seen else f"has not 1 to {_LONGEST} characters"
            raise CheckpointError(f"{where}: the piece {shown(token)} {what}")
        if not math.isfinite(score) or not NORMAL <= kind <= BYTE:
            raise CheckpointError(
                f"{where}: the piece {shown(token)} has the score {score} and the type {kind}")
        seen.add(token)
        splits += len(token) - 1
    if splits > _MOST_SPLITS or pieces.types.count(USER) > _MOST_USER_DEFINED:
        raise CheckpointError(f"{where}: its pieces are too long, or too many are user-defined")
    for name, index in (("unknown", pieces.unknown), ("begin", pieces.begin)):
        if index is not None and index >= len(pieces.tokens):
            raise CheckpointError(f"{where}: the {name} token is {index}; there are "
                                  f"{len(pieces.tokens)} pieces")
    if pieces.unigram and pieces.unknown is None:
        raise CheckpointError(f"{where}: a Unigram model needs an unknown token")


def merges_of(pieces: Pieces) -> list[list[str]]:
    """Pairs of normal pieces that make a third, the best first: by its score, then by its id."""
    normal = {
        token: (-score, index)
        for index, (token, score, kind) in enumerate(
            zip(pieces.tokens, pieces.scores, pieces.types, strict=True))
        if kind == NORMAL
    }
    ranked = [
        (*rank, token[:split], token[split:])
        for token, rank in normal.items() for split in range(1, len(token))
        if token[:split] in normal and token[split:] in normal
    ]
    return [[left, right] for _, _, left, right in sorted(ranked)]


def tokenizer_of_pieces(pieces: Pieces, legacy: bool = True) -> dict[str, Any]:
    """A tokenizer.json of checked ``pieces``, without a template of begin tokens.

    With ``legacy`` every text between added tokens gets the dummy prefix, as in SentencePiece and
    llama.cpp; else the first alone, unless it begins with a blank (``transformers``).
    """
    user = [token for token, kind in zip(pieces.tokens, pieces.types, strict=True) if kind == USER]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": _added(pieces),
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(pieces, legacy)},
        "pre_tokenizer": _before(pieces, user, legacy), "post_processor": None,
        "decoder": _decoder(pieces), "model": _model(pieces, bool(user)),
    }


def _model(pieces: Pieces, whole: bool) -> dict[str, Any]:
    if pieces.unigram:
        vocabulary = [[token, score]
                      for token, score in zip(pieces.tokens, pieces.scores, strict=True)]
        return {"type": "Unigram", "unk_id": pieces.unknown, "vocab": vocabulary,
                "byte_fallback": pieces.byte_fallback}
    return {
        "type": "BPE", "dropout": None, "continuing_subword_prefix": None,
        "unk_token": None if pieces.unknown is None else pieces.tokens[pieces.unknown],
        "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": pieces.byte_fallback,
        "ignore_merges": whole, "merges": merges_of(pieces),
        "vocab": {token: index for index, token in enumerate(pieces.tokens)},
    }


def _added(pieces: Pieces) -> list[dict[str, Any]]:
    """Control tokens; user-defined ones are not set apart before blanks are put into a text."""
    return [
        {"id": index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for index, (token, kind) in enumerate(zip(pieces.tokens, pieces.types, strict=True))
        if kind == CONTROL
    ]


def _normalizers(pieces: Pieces, legacy: bool) -> list[dict[str, Any]]:
    """In SentencePiece's order."""
    steps: list[dict[str, Any]] = []
    if pieces.charsmap:
        steps.append({"type": "Precompiled",
                      "precompiled_charsmap": base64.b64encode(pieces.charsmap).decode()})
    if pieces.one_space:
        steps += [_replace("Regex", r"\A +| +\z", ""), _replace("Regex", " {2,}", " ")]
    if pieces.escape:
        steps.append(_replace("String", " ", _BLANK))
    if pieces.dummy_prefix and legacy:
        # Metaspace puts nothing before a text that begins with its sign; SentencePiece does.
        steps.append(_replace("Regex", r"\A" + _BLANK, 2 * _BLANK))
    return steps


def _replace(kind: str, pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def _before(pieces: Pieces, user: list[str], legacy: bool) -> dict[str, Any] | None:
    steps: list[dict[str, Any]] = []
    if pieces.dummy_prefix:
        steps.append({"type": "Metaspace", "replacement": _BLANK, "split": False,
                      "prepend_scheme": "always" if legacy else "first"})
    if user:
        steps.append({"type": "Split", "pattern": {"Regex": alternatives(user)},
                      "behavior": "Isolated", "invert": False})
    return {"type": "Sequence", "pretokenizers": steps} if steps else None


def alternatives(user: list[str]) -> str:
    """The regular expression of user-defined pieces, which are taken whole; longer ones first."""
    return "|".join(re.escape(piece) for piece in sorted(user, key=len, reverse=True))


def user_defined(pattern: object) -> list[str]:
    """The pieces of which ``alternatives`` made ``pattern``; none if it did not."""
    if not isinstance(pattern, str):
        return []
    pieces = [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL)
              for part in re.findall(r"(?:\\.|[^|\\])+", pattern, re.DOTALL)]
    return pieces if alternatives(pieces) == pattern else []


def _decoder(pieces: Pieces) -> dict[str, Any]:
    steps = [_replace("String", _BLANK, " ")]
    if pieces.byte_fallback:
        steps.append({"type": "ByteFallback"})
    if pieces.dummy_prefix or pieces.byte_fallback:
        steps.append({"type": "Fuse"})
    if pieces.dummy_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}
