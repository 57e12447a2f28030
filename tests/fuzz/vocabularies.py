"""Fuzz target: vocabularies that are no tokenizer.json, of which one is made.

The first byte says which file the rest is.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path

from support import hostile_tokenizers
from support.json_mutations import change_json
from trilobite.errors import TrilobiteError
from trilobite.runtime.text import Tokenizer

__all__ = ["MUTATORS", "SEEDS", "TARGETS"]

_FILES = ("tokenizer.model", "tekken.json", "vocab.json", "merges.txt")
_PIECES = (("<unk>", 2), ("<s>", 3), ("\u2581", 1), ("a", 1), ("b", 1), ("ab", 1), ("<x>", 4),
           *((f"<0x{byte:02X}>", 6) for byte in range(256)))


def vocabulary(data: bytes, scratch: Path) -> None:
    """A vocabulary: a tokenizer is made of it, loaded, and used both ways."""
    inside = scratch / "vocabulary"
    inside.mkdir(exist_ok=True)
    name = _FILES[data[0] % len(_FILES)] if data else _FILES[0]
    for other in _FILES:
        (inside / other).unlink(missing_ok=True)
    if name in _FILES[2:]:
        (inside / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
        (inside / "merges.txt").write_text("#version: 0.2\na b\n")
    (inside / name).write_bytes(data[1:])
    try:
        text = Tokenizer(inside / "tokenizer.json", 0, (1,))
        text.decode(text.encode(hostile_tokenizers.TEXT))
    except TrilobiteError as error:
        assert str(error)


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2, len(payload)]) + payload


def _sentencepiece(kind: int, charsmap: bytes = b"") -> bytes:
    pieces = [
        _field(1, _field(1, text.encode()) + bytes([2 << 3 | 5, 0, 0, 128, 191, 3 << 3, type]))
        for text, type in _PIECES
    ]
    trainer = _field(2, bytes([3 << 3, kind, 35 << 3 & 127 | 128, 2, 1]))
    return b"".join(pieces) + trainer + _field(3, _field(2, charsmap) if charsmap else b"")


def _tekken() -> bytes:
    return json.dumps({
        "config": {"pattern": r"\\p{L}+| ?[^\\p{L}]+", "default_vocab_size": 260,
                   "default_num_special_tokens": 3},
        "vocab": [{"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode()}
                  for byte in range(256)],
        "special_tokens": [{"rank": 1, "token_str": "<s>"}],
    }).encode()


def _change(data: bytes, source: random.Random) -> bytes:
    """JSON as JSON; other files byte by byte, by the driver."""
    if not data or data[0] % len(_FILES) in (0, 3):
        return data
    return data[:1] + (change_json(data[1:], source) or data[1:])


TARGETS: dict[str, Callable[[bytes, Path], None]] = {"vocabulary": vocabulary}
MUTATORS = {"vocabulary": _change}
SEEDS: dict[str, Callable[[Path], list[bytes]]] = {
    "vocabulary": lambda scratch: [
        b"\0" + _sentencepiece(1), b"\0" + _sentencepiece(2), b"\0" + _sentencepiece(1, bytes(8)),
        b"\1" + _tekken(), b'\2{"a": 0, "b": 1, "ab": 2}', b"\3#version: 0.2\na b\n",
    ],
}
