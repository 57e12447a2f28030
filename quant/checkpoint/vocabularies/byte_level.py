"""Byte-level BPE: tokenizer.json out of tokens and merges, and out of tekken.json.

llama.cpp splits text by a rule that it knows by name; the rules here are those of public models.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ....errors import CheckpointError
from ..files.fields import shown

__all__ = ["SPLITS", "byte_level_tokenizer", "read_merges", "tekken_tokenizer"]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Names that llama.cpp knows, with the regular expression that tokenizer.json has for each; None is
# GPT-2's own, which the ByteLevel pre-tokenizer brings. Where one rule has several names, the
# first is written.
SPLITS: dict[str, str | None] = {
    "gpt-2": None,
    "llama-bpe": _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST,
    "qwen2": _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST,
}
_LARGEST_VOCABULARY = 1 << 22
_LONGEST = 512        # bytes of a token
_LONGEST_PATTERN = 4096
_MOST_SPLITS = 1 << 26


def byte_level_tokenizer(
    vocab: dict[str, int], merges: list[list[str]], added: list[dict[str, Any]],
    pattern: str | None, whole_words: bool = False,
) -> dict[str, Any]:
    """A tokenizer.json that splits bytes by ``pattern`` (None: GPT-2's), then merges.

    With ``whole_words`` a word of the vocabulary is taken whole, without merging.
    """
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    before: dict[str, Any] = {**level, "use_regex": True}
    if pattern is not None:
        before = {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
             "invert": False},
            {**level, "use_regex": False},
        ]}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": before, "post_processor": None,
        "decoder": {**level, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": whole_words, "vocab": vocab, "merges": merges,
        },
    }


def read_merges(text: str, vocab: dict[str, int], where: str) -> list[list[str]]:
    """The pairs of merges.txt, one to a line after a line of its version.

    Raises ``CheckpointError`` if a line is no pair of tokens that make a third one.
    """
    lines = text.split("\n")
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    merges = [line.rstrip("\r").split(" ") for line in lines if line.strip()]
    for pair in merges:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= vocab.keys():
            raise CheckpointError(f"{where} holds the line {shown(' '.join(pair))}; a merge is two "
                                  "tokens of vocab.json that make a third one")
    return merges


def tekken_tokenizer(content: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, int]]:
    """tokenizer.json of Mistral's tekken.json, and its special tokens with their ids.

    Token ids are ranks after the special tokens; of two bytes' tokens those merge first that make
    the lowest rank. Raises ``CheckpointError``, beginning with ``where``, if it is damaged.
    """
    config, ranked = content.get("config"), content.get("vocab")
    if not isinstance(config, dict) or not isinstance(ranked, list):
        raise CheckpointError(f'{where} is no tekken.json: it needs "config" and "vocab"')
    pattern = config.get("pattern")
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        raise CheckpointError(f'{where}: "pattern" is {shown(pattern)}; it must be a text')
    reserved = _count(config, "default_num_special_tokens", where)
    size = _count(config, "default_vocab_size", where)
    special = _special(content, reserved, where)
    tokens = [_token(entry, rank, where) for rank, entry in enumerate(ranked[:size - reserved])]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    if len(ranks) != len(tokens) or sum(map(len, tokens)) > _MOST_SPLITS:
        raise CheckpointError(f'{where}: "vocab" holds a token twice, or tokens too long')
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise CheckpointError(f'{where}: "vocab" has not all 256 bytes')
    letters = _letters()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        [written(left), written(right)]
        for token in tokens if len(token) > 1
        for left, right in sorted(
            ((token[:split], token[split:]) for split in range(1, len(token))
             if token[:split] in ranks and token[split:] in ranks),
            key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    ]
    vocab = {written(token): reserved + rank for token, rank in ranks.items()}
    added = [
        {"id": token_id, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for name, token_id in special.items()
    ]
    vocab |= special
    return byte_level_tokenizer(vocab, merges, added, pattern), special


def _count(config: dict[str, Any], name: str, where: str) -> int:
    value = config.get(name)
    if type(value) is not int or not 0 <= value <= _LARGEST_VOCABULARY:
        raise CheckpointError(
            f'{where}: "{name}" is {shown(value)}; it must be 0 to {_LARGEST_VOCABULARY}')
    return value


def _special(content: dict[str, Any], reserved: int, where: str) -> dict[str, int]:
    """Special tokens by name; files before version 7 have none of their own, but fixed ones."""
    stated = content.get("special_tokens")
    if stated is None:
        stated = [{"rank": rank, "token_str": name}
                  for rank, name in enumerate(("<unk>", "<s>", "</s>", "[INST]", "[/INST]"))]
    special: dict[str, int] = {}
    for entry in stated if isinstance(stated, list) else [stated]:
        name = entry.get("token_str") if isinstance(entry, dict) else None
        rank = entry.get("rank") if isinstance(entry, dict) else None
        if (not isinstance(name, str) or not name or len(name) > _LONGEST or name in special
                or type(rank) is not int or not 0 <= rank < reserved):
            raise CheckpointError(f"{where}: the special token {shown(entry)} is none")
        special[name] = rank
    used = set(special.values())
    return special | {f"<SPECIAL_{rank}>": rank for rank in range(reserved) if rank not in used}


def _token(entry: object, rank: int, where: str) -> bytes:
    text = entry.get("token_bytes") if isinstance(entry, dict) else None
    try:
        token = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        token = b""
    if not 1 <= len(token) <= _LONGEST or not isinstance(entry, dict) or entry.get("rank") != rank:
        raise CheckpointError(f"{where}: the token of rank {rank} is {shown(entry)}")
    return token


def _letters() -> list[str]:
    """GPT-2's letter for each byte: itself if it can be printed, else one from U+0100 on."""
    printed = {*range(33, 127), *range(161, 173), *range(174, 256)}
    letters, further = [], 256
    for byte in range(256):
        letters.append(chr(byte if byte in printed else further))
        further += byte not in printed
    return letters
