"""SentencePiece's tokenizer.model: what of it changes how text is split.

The fields are those of sentencepiece_model.proto (github.com/google/sentencepiece).
"""

from __future__ import annotations

import struct

from ....errors import CheckpointError
from .pieces import NORMAL, Pieces, check_pieces
from .wire import fields

__all__ = ["read_sentencepiece"]

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3                # of ModelProto
_TEXT, _SCORE, _TYPE = 1, 2, 3                          # of a piece
_MODEL_TYPE, _SUFFIX, _BYTE_FALLBACK, _UNKNOWN, _BEGIN = 3, 24, 35, 40, 41
_CHARSMAP, _DUMMY, _ONE_SPACE, _ESCAPE = 2, 3, 4, 5     # of NormalizerSpec
_UNIGRAM, _BPE = 1, 2
_LARGEST_VOCABULARY = 1 << 22

Message = dict[int, "int | memoryview"]


def read_sentencepiece(data: bytes, where: str) -> Pieces:
    """The pieces and rules of a tokenizer.model.

    Raises ``CheckpointError``, beginning with ``where``, if it is damaged, or splits text in a way
    that tokenizer.json has not.
    """
    tokens: list[str] = []
    scores: list[float] = []
    types: list[int] = []
    trainer: Message = {}
    normalizer: Message = {}
    for number, value in fields(memoryview(data), where):
        if number == _PIECES:
            if len(tokens) >= _LARGEST_VOCABULARY:
                raise CheckpointError(f"{where} has more than {_LARGEST_VOCABULARY} pieces")
            piece = dict(fields(_message(value, where), where))
            tokens.append(_text(piece.get(_TEXT), where))
            scores.append(_float(piece.get(_SCORE), where))
            types.append(_integer(piece, _TYPE, NORMAL, where))
        elif number == _TRAINER:
            trainer = dict(fields(_message(value, where), where))
        elif number == _NORMALIZER:
            normalizer = dict(fields(_message(value, where), where))
    kind = _integer(trainer, _MODEL_TYPE, _UNIGRAM, where)
    if kind not in (_UNIGRAM, _BPE):
        raise CheckpointError(f"{where} splits text by words or characters (model type {kind}); "
                              "BPE and Unigram are read")
    if _integer(trainer, _SUFFIX, 0, where):
        raise CheckpointError(f"{where} puts blanks at the ends of words, which is not supported")
    charsmap = bytes(_message(normalizer.get(_CHARSMAP, memoryview(b"")), where))
    trie = int.from_bytes(charsmap[:4], "little")   # bytes of the trie that follows
    if charsmap and (trie % 4 or not 0 < trie <= len(charsmap) - 4):
        raise CheckpointError(f"{where}: its table of characters is cut short or damaged")
    pieces = Pieces(
        tokens, scores, types, unigram=kind == _UNIGRAM,
        byte_fallback=bool(_integer(trainer, _BYTE_FALLBACK, 0, where)),
        unknown=_id(trainer, _UNKNOWN, 0, where), begin=_id(trainer, _BEGIN, 1, where),
        dummy_prefix=bool(_integer(normalizer, _DUMMY, 1, where)),
        one_space=bool(_integer(normalizer, _ONE_SPACE, 1, where)),
        escape=bool(_integer(normalizer, _ESCAPE, 1, where)),
        charsmap=charsmap,
    )
    check_pieces(pieces, where)
    return pieces


def _message(value: int | memoryview, where: str) -> memoryview:
    if isinstance(value, int):
        raise CheckpointError(f"{where} is no SentencePiece model: a number stands for a message")
    return value


def _text(value: int | memoryview | None, where: str) -> str:
    try:
        return bytes(_message(memoryview(b"") if value is None else value, where)).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{where}: a piece is not UTF-8: {error}") from None


def _float(value: int | memoryview | None, where: str) -> float:
    if value is None:
        return 0.0
    data = _message(value, where)
    if len(data) != 4:
        raise CheckpointError(f"{where}: the score of a piece is no float32")
    return float(struct.unpack("<f", data)[0])


def _integer(message: Message, number: int, default: int, where: str) -> int:
    value = message.get(number, default)
    if not isinstance(value, int):
        raise CheckpointError(f"{where}: field {number} is no number")
    return value


def _id(message: Message, number: int, default: int, where: str) -> int | None:
    """A token id; None for -1, of which there is none."""
    value = _integer(message, number, default, where)
    return None if value >> 31 else value
