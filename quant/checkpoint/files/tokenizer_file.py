"""A stranger's tokenizer.json, checked before a library is let loose on it.

The ``tokenizers`` library trusts what it loads: an unknown token in a template, a stride beyond the
length or padding to 2^27 ends in a panic or in all of the memory. Here is looked at what can make
text grow, and at the parts that are read without the library, for GGUF.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ....errors import CheckpointError
from .fields import shown

__all__ = ["added_tokens", "check_tokenizer", "template_steps", "vocabulary"]

_GROWTH = 64           # characters that a normalizer or decoder may make of one; NFKD's most is 18
_ADDED_LENGTH = 1024   # of what is put before a text, and of a token in a template
_TEMPLATE_LENGTH = 64
_HIGHEST_ID = (1 << 31) - 1
_MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")


def check_tokenizer(content: dict[str, Any], where: str) -> None:
    """Raise ``CheckpointError``, beginning with ``where``, unless ``content`` can be used safely.

    Looks at vocabulary, merges, added tokens, the growth of text and the template of begin and end
    tokens. What the library itself refuses when it loads the file is left to it.
    """
    vocabulary(content, where)
    for part in ("normalizer", "decoder"):
        growth = 1.0
        for step in _steps(content.get(part), part, where):
            growth *= _growth(step, part, where)
        if growth > _GROWTH:
            raise CheckpointError(
                f"{where}: its {part} makes up to {growth:.0f} characters of one; "
                f"{_GROWTH} are the most that are taken"
            )
    for step in template_steps(content, where):
        _check_template(step, where)


def template_steps(content: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The templates of begin and end tokens among what is done to a split text."""
    steps = _steps(content.get("post_processor"), "post_processor", where)
    return [step for step in steps if step.get("type") == "TemplateProcessing"]


def vocabulary(content: dict[str, Any], where: str) -> dict[str, int]:
    """Every token with its id, those that were added later too; raises as ``check_tokenizer``."""
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") not in _MODELS:
        kind = model.get("type") if isinstance(model, dict) else model
        raise CheckpointError(f'{where}: "model" is {shown(kind)}; known are {", ".join(_MODELS)}')
    vocab = model.get("vocab")
    if isinstance(vocab, list):   # Unigram: tokens with their scores, in the order of their ids
        if not all(isinstance(e, list) and len(e) == 2 and isinstance(e[0], str) for e in vocab):
            raise CheckpointError(f'{where}: "vocab" must be a list of pairs of token and score')
        tokens: dict[str, Any] = {entry[0]: index for index, entry in enumerate(vocab)}
    elif isinstance(vocab, dict):
        tokens = dict(vocab)
    else:
        raise CheckpointError(f'{where}: "vocab" is {shown(vocab)}; it must be an object or a list')
    _check_merges(model.get("merges"), where)
    for added in added_tokens(content, where):
        tokens[added["content"]] = added["id"]
    for token, index in tokens.items():
        if not _is_text(token):
            raise CheckpointError(f"{where}: the token {shown(token)} is no text")
        if type(index) is not int or not 0 <= index <= _HIGHEST_ID:
            raise CheckpointError(f"{where}: the token {shown(token)} has the id {shown(index)}; "
                                  f"it must be an integer from 0 to {_HIGHEST_ID}")
    return tokens


def _is_text(token: str) -> bool:
    """Whether a JSON string has no half of a surrogate pair, which UTF-8 has no bytes for."""
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True


def added_tokens(content: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The tokens that were added to the vocabulary, each with ``content`` and ``id``."""
    added = content.get("added_tokens") or []
    if not isinstance(added, list):
        raise CheckpointError(f'{where}: "added_tokens" is {shown(added)}; it must be a list')
    for token in added:
        if not isinstance(token, dict) or not isinstance(token.get("content"), str):
            raise CheckpointError(f'{where}: the added token {shown(token)} has no "content"')
        if "id" not in token:
            raise CheckpointError(f'{where}: the added token {shown(token)} has no "id"')
    return added


def _check_merges(merges: object, where: str) -> None:
    """Merges are pairs of texts, as ``"a b"`` or as ``["a", "b"]``."""
    if merges is None:
        return
    if not isinstance(merges, list):
        raise CheckpointError(f'{where}: "merges" is {shown(merges)}; it must be a list')
    for merge in merges:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(
            isinstance(part, str) for part in parts
        ):
            raise CheckpointError(f"{where}: the merge {shown(merge)} is no pair of tokens")


def _steps(value: object, part: str, where: str) -> Iterator[dict[str, Any]]:
    """A normalizer, decoder or processor, or those that a sequence of them holds, in order."""
    waiting = [value]
    while waiting:
        step = waiting.pop(0)
        if step is None:
            continue
        if not isinstance(step, dict):
            raise CheckpointError(f'{where}: "{part}" holds {shown(step)}; it must be an object')
        inner = next((step[key] for key in ("normalizers", "decoders", "processors")
                      if key in step), None)
        if step.get("type") != "Sequence":
            yield step
        elif isinstance(inner, list):
            waiting = inner + waiting
        else:
            raise CheckpointError(f'{where}: a sequence in "{part}" holds {shown(inner)}')


def _growth(step: dict[str, Any], part: str, where: str) -> float:
    """Characters that a step makes at most of one."""
    if step.get("type") == "Prepend":
        text = step.get("prepend", "")
        if not isinstance(text, str) or len(text) > _ADDED_LENGTH:
            raise CheckpointError(f"{where}: its {part} puts {shown(text)} before a text")
        return 1
    if step.get("type") != "Replace":
        return 1
    pattern, text = step.get("pattern"), step.get("content")
    if not isinstance(pattern, dict) or len(pattern) != 1 or not isinstance(text, str):
        raise CheckpointError(f"{where}: its {part} replaces {shown(pattern)} by {shown(text)}")
    kind, found = next(iter(pattern.items()))
    if kind != "String":   # a regular expression may match nothing, before every character
        return 1 + len(text)
    if not isinstance(found, str) or not found:
        raise CheckpointError(f"{where}: its {part} replaces {shown(found)}, which is no text")
    return max(1, len(text) / len(found))


def _check_template(step: dict[str, Any], where: str) -> None:
    """The template for one text names tokens that it defines, and that text alone."""
    known, single = step.get("special_tokens"), step.get("single")
    if not isinstance(known, dict) or not isinstance(single, list):
        raise CheckpointError(f"{where}: its post_processor has the template {shown(single)}")
    if len(single) > _TEMPLATE_LENGTH:
        raise CheckpointError(f"{where}: its post_processor's template has {len(single)} parts")
    for piece in single:
        kind, entry = next(iter(piece.items())) if isinstance(piece, dict) and piece else ("", None)
        name = entry.get("id") if isinstance(entry, dict) else None
        known_kind = kind in ("Sequence", "SpecialToken") and isinstance(name, str)
        if not known_kind or (name != "A" if kind == "Sequence" else name not in known):
            raise CheckpointError(
                f"{where}: the template of its post_processor holds {shown(piece)}, which it does "
                "not define"
            )
    for name, token in known.items():
        ids = token.get("ids") if isinstance(token, dict) else None
        if not isinstance(ids, list) or len(ids) > _TEMPLATE_LENGTH:
            raise CheckpointError(f"{where}: the token {shown(name)} of its template has no ids")
