"""Tokenizers between GGUF's metadata and Hugging Face's tokenizer.json.

llama.cpp splits text by a rule that it knows by name (``tokenizer.ggml.pre``); a file that names
the wrong one tokenizes wrongly without a word, so a rule that is not known is refused.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ....errors import CheckpointError
from ..files.fields import shown
from ..files.gguf_split import GgufModel
from ..files.special_tokens import begin_template, wants_begin_token
from ..vocabularies.byte_level import SPLITS, byte_level_tokenizer
from ..vocabularies.pieces import CONTROL, NORMAL, USER, Pieces, check_pieces, tokenizer_of_pieces

__all__ = ["split_name", "tokenizer_files"]

_ALIASES = {
    "llama3": "llama-bpe", "llama-v3": "llama-bpe", "falcon3": "llama-bpe",
    "deepseek-r1-qwen": "qwen2", "phi-2": "gpt-2",
}
_WHOLE_WORDS = ("llama-bpe",)   # a word of the vocabulary is taken whole, without merging


def split_name(pre_tokenizer: Any, where: str) -> str:
    """llama.cpp's name for the ``pre_tokenizer`` of a tokenizer.json.

    Raises ``CheckpointError`` where llama.cpp has no name for it.
    """
    steps = [pre_tokenizer]
    if _is(pre_tokenizer, "Sequence") and isinstance(pre_tokenizer.get("pretokenizers"), list):
        steps = pre_tokenizer["pretokenizers"]
    if steps and _is(steps[-1], "ByteLevel") and not steps[-1].get("add_prefix_space"):
        own = steps[-1].get("use_regex", True)
        if own and len(steps) == 1:
            return "gpt-2"
        if not own and len(steps) == 2 and _is(steps[0], "Split"):
            plain = steps[0].get("behavior") == "Isolated" and not steps[0].get("invert")
            for name, known in SPLITS.items():
                if plain and steps[0].get("pattern") == {"Regex": known}:
                    return name
    raise CheckpointError(
        f"{where}: llama.cpp has no name for the pre_tokenizer {shown(pre_tokenizer)}; it would "
        f"split text in another way. Known are byte-level ones like those of {', '.join(SPLITS)}"
    )


def tokenizer_files(file: GgufModel) -> dict[str, bytes]:
    """tokenizer.json and tokenizer_config.json of a GGUF file; nothing if it has no vocabulary.

    Raises ``CheckpointError`` if the tokenizer is of a kind that is not read, or is damaged.
    """
    model = file.metadata.get("tokenizer.ggml.model")
    if model in (None, "none", "no_vocab"):
        return {}
    if model == "llama":
        return _files(file, *_sentencepiece(file))
    if model != "gpt2":
        raise CheckpointError(
            f"{file.path}: the tokenizer is of the kind {shown(model)}; byte-level BPE "
            '("gpt2") and SentencePiece ("llama") are read'
        )
    stated = file.metadata.get("tokenizer.ggml.pre", "default")
    split = _ALIASES.get(stated, stated) if isinstance(stated, str) else None
    if split not in SPLITS:
        raise CheckpointError(
            f"{file.path}: tokenizer.ggml.pre is {shown(stated)}, a way to split text that is not "
            f"known; known are {', '.join([*SPLITS, *_ALIASES])}"
        )
    tokens, types = _vocabulary(file)
    content = _tokenizer(tokens, types, _merges(file, set(tokens)), split)
    return _files(file, content, _settings(file, tokens, split == "llama-bpe"))


def _files(
    file: GgufModel, content: dict[str, Any], settings: dict[str, Any]
) -> dict[str, bytes]:
    """Both files, with a template for the begin token if there is one."""
    if wants_begin_token(settings, str(file.path)):
        begin = settings["bos_token"]
        index = file.metadata["tokenizer.ggml.bos_token_id"]
        content["post_processor"] = begin_template(begin, index)
    files = {"tokenizer.json": content, "tokenizer_config.json": settings}
    return {name: json.dumps(value, ensure_ascii=False).encode() for name, value in files.items()}


def _sentencepiece(file: GgufModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """tokenizer.json and tokenizer_config.json of pieces with scores, as llama.cpp splits by them.

    It puts a blank before the text, unless ``add_space_prefix`` is false, and a begin token, unless
    ``add_bos_token`` is.
    """
    tokens, types = _vocabulary(file)
    scores = file.metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f" or (
        len(scores) != len(tokens)
    ):
        raise CheckpointError(f"{file.path}: tokenizer.ggml.scores must be a number for each of "
                              f"the {len(tokens)} tokens")
    unknown = file.metadata.get("tokenizer.ggml.unknown_token_id", 0)
    if type(unknown) is not int or not 0 <= unknown < len(tokens):
        raise CheckpointError(f"{file.path}: tokenizer.ggml.unknown_token_id is {shown(unknown)}")
    pieces = Pieces(
        tokens, scores.tolist(), types, unknown=unknown,
        dummy_prefix=file.metadata.get("tokenizer.ggml.add_space_prefix") is not False,
    )
    check_pieces(pieces, str(file.path))
    return tokenizer_of_pieces(pieces), _settings(file, tokens, True)


def _is(step: Any, kind: str) -> bool:
    return isinstance(step, dict) and step.get("type") == kind


def _vocabulary(file: GgufModel) -> tuple[list[str], list[int]]:
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise CheckpointError(f"{file.path}: tokenizer.ggml.tokens is no list of words")
    if len(set(tokens)) != len(tokens):
        raise CheckpointError(f"{file.path}: tokenizer.ggml.tokens holds a token twice")
    types = file.metadata.get("tokenizer.ggml.token_type")
    if types is None:
        return tokens, [NORMAL] * len(tokens)
    if not isinstance(types, np.ndarray) or types.dtype.kind not in "iu" or (
        len(types) != len(tokens)
    ):
        raise CheckpointError(f"{file.path}: tokenizer.ggml.token_type must be a whole number for "
                              f"each of the {len(tokens)} tokens")
    return tokens, types.tolist()


def _merges(file: GgufModel, tokens: set[str]) -> list[list[str]]:
    merges = file.metadata.get("tokenizer.ggml.merges", [])
    pairs = [merge.split(" ") for merge in merges] if isinstance(merges, list) else [[]]
    for pair in pairs:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= tokens:
            raise CheckpointError(
                f"{file.path}: tokenizer.ggml.merges holds {shown(pair)}; a merge is two tokens "
                "that make a third one, with a blank between"
            )
    return pairs


def _tokenizer(
    tokens: list[str], types: list[int], merges: list[list[str]], split: str
) -> dict[str, Any]:
    added = [
        {
            "id": index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": types[index] == CONTROL,
        }
        for index, token in enumerate(tokens) if types[index] in (CONTROL, USER) and token
    ]
    vocab = {token: index for index, token in enumerate(tokens)}
    return byte_level_tokenizer(vocab, merges, added, SPLITS[split], split in _WHOLE_WORDS)


def _settings(file: GgufModel, tokens: list[str], begins: bool) -> dict[str, Any]:
    """Begin and end tokens; ``begins``: text begins with one where the file does not say."""
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for kind in ("bos", "eos"):
        index = file.metadata.get(f"tokenizer.ggml.{kind}_token_id")
        if index is None:
            continue
        if type(index) is not int or not 0 <= index < len(tokens):
            raise CheckpointError(f"{file.path}: tokenizer.ggml.{kind}_token_id is {shown(index)}; "
                                  f"there are {len(tokens)} tokens")
        settings[f"{kind}_token"] = tokens[index]
    stated = file.metadata.get("tokenizer.ggml.add_bos_token")
    settings["add_bos_token"] = begins if stated is None else stated is True
    template = file.metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        settings["chat_template"] = template
    return settings
