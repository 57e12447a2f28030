"""Begin, end and added tokens, as the several files of a checkpoint state them.

The judge is ``transformers`` 5: generation_config.json says where a text ends before config.json
does, and what a text begins with is said by the template (``post_processor``) of tokenizer.json.
``add_bos_token`` = true adds a begin token also where the template does not, as llama.cpp's
converter takes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....errors import CheckpointError
from ....model import ModelConfig
from .fields import Fields, parse_json_object, read_json, shown
from .tokenizer_file import added_tokens, template_steps, vocabulary

__all__ = [
    "begin_template", "begins_by_template", "end_token_ids", "wants_begin_token",
    "with_stated_ends", "with_stated_tokens",
]


def end_token_ids(fields: Fields, vocab_size: int) -> tuple[int, ...]:
    """``eos_token_id`` of a configuration: an id, a list of them, or nothing."""
    value = fields.raw("eos_token_id")
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if any(type(token) is not int or not 0 <= token < vocab_size for token in ids):
        raise fields.refuse("eos_token_id", f"an integer below {vocab_size}, or a list of them")
    return tuple(dict.fromkeys(ids))


def with_stated_ends(
    config: ModelConfig, folder: Path, made: Callable[[], bytes | None] = lambda: None
) -> ModelConfig:
    """``config`` with the end tokens that the folder states beside config.json.

    Those of generation_config.json hold where it has any, config.json's own first among them.
    Where neither has one, the token is taken that tokenizer_config.json calls ``eos_token``;
    ``made`` gives a tokenizer.json for a folder that has none.

    Raises ``CheckpointError`` if one of these files is damaged.
    """
    path = folder / "generation_config.json"
    if os.path.lexists(path):
        stated = end_token_ids(Fields(read_json(path, folder), str(path)), config.vocab_size)
        if stated:
            ids = [token for token in config.eos_token_ids if token in stated]
            return replace(config, eos_token_ids=tuple(dict.fromkeys([*ids, *stated])))
    if config.eos_token_ids:
        return config
    return replace(config, eos_token_ids=_named_end(folder, config.vocab_size, made))


def _named_end(
    folder: Path, vocab_size: int, made: Callable[[], bytes | None]
) -> tuple[int, ...]:
    """The id of the token that tokenizer_config.json names as the end of a text."""
    settings_file, file = folder / "tokenizer_config.json", folder / "tokenizer.json"
    if not os.path.lexists(settings_file):
        return ()
    settings = read_json(settings_file, folder)
    name = _token_name(settings, "eos_token", str(settings_file))
    if name is None:
        return ()
    if os.path.lexists(file):
        stated = read_json(file, folder)
    elif (content := made()) is not None:
        stated = parse_json_object(content, str(file))
    else:
        return ()
    complete = with_stated_tokens(stated, settings, {}, str(file))
    token = vocabulary(complete, str(file)).get(name)
    return () if token is None or token >= vocab_size else (token,)


def _token_name(settings: dict[str, Any], field: str, where: str) -> str | None:
    """A token that tokenizer_config.json names, as text or as an object with ``content``."""
    value = settings.get(field)
    name = value.get("content") if isinstance(value, dict) else value
    if name is not None and not isinstance(name, str):
        raise CheckpointError(f'{where}: "{field}" is {shown(value)}; it must be a token, as text')
    return name


def wants_begin_token(settings: dict[str, Any], where: str) -> bool:
    """Whether tokenizer_config.json asks for a begin token, be there a template or not."""
    adds = settings.get("add_bos_token")
    if adds is not None and not isinstance(adds, bool):
        raise CheckpointError(
            f'{where}: "add_bos_token" is {shown(adds)}; it must be true or false'
        )
    return adds is True and settings.get("bos_token") is not None


def begins_by_template(content: dict[str, Any], where: str) -> bool:
    """Whether the template of tokenizer.json puts a token before a text."""
    return any(
        isinstance(step["single"][0], dict) and "SpecialToken" in step["single"][0]
        for step in template_steps(content, where) if step["single"]
    )


def begin_template(name: str, token_id: int) -> dict[str, Any]:
    """A ``post_processor`` that puts token ``name`` before every text."""
    token = {"SpecialToken": {"id": name, "type_id": 0}}
    texts = [{"Sequence": {"id": which, "type_id": index}} for index, which in enumerate("AB")]
    return {
        "type": "TemplateProcessing", "single": [token, texts[0]],
        "pair": [token, texts[0], token, texts[1]],
        "special_tokens": {name: {"id": name, "ids": [token_id], "tokens": [name]}},
    }


def with_stated_tokens(
    content: dict[str, Any], settings: dict[str, Any], added: dict[str, Any], where: str
) -> dict[str, Any]:
    """tokenizer.json with the added tokens that only the files beside it name.

    Parameters
    ----------
    content, where
        What tokenizer.json holds, and its name for messages.
    settings
        tokenizer_config.json, of which ``added_tokens_decoder`` gives id to token.
    added
        added_tokens.json: token to id.

    Raises
    ------
    CheckpointError
        A token has another id than tokenizer.json gives it, or one that is taken.
    """
    known = vocabulary(content, where)
    taken = {token_id: token for token, token_id in known.items()}
    new = []
    for token in _stated_tokens(settings, added, where):
        name, token_id = token["content"], token["id"]
        if known.get(name, token_id) != token_id or taken.get(token_id, name) != name:
            raise CheckpointError(
                f"{where}: the added token {shown(name)} has the id {token_id} in the files beside "
                f"it, where it has {shown(known.get(name, taken.get(token_id)))}"
            )
        if name not in known:
            known[name], taken[token_id] = token_id, name
            new.append(token)
    if not new:
        return content
    everything = [*added_tokens(content, where), *sorted(new, key=lambda token: token["id"])]
    return content | {"added_tokens": everything}


def _stated_tokens(
    settings: dict[str, Any], added: dict[str, Any], where: str
) -> list[dict[str, Any]]:
    """Every token of ``added_tokens_decoder`` and added_tokens.json, as tokenizer.json has them."""
    decoder = settings.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise CheckpointError(
            f'{where}: "added_tokens_decoder" beside it is {shown(decoder)}; it must be an object'
        )
    named = {
        _token_name(settings, field, where) for field in settings
        if field.endswith("_token") and isinstance(settings[field], str | dict)
    }
    tokens = [_added(entry, _token_id(key, where), where) for key, entry in decoder.items()]
    tokens += [
        _added({"content": name, "special": name in named}, _token_id(token_id, where), where)
        for name, token_id in added.items()
    ]
    return tokens


def _token_id(stated: object, where: str) -> int:
    if isinstance(stated, str) and stated.isascii() and stated.isdigit() and len(stated) < 11:
        return int(stated)
    if type(stated) is not int or not 0 <= stated < 1 << 31:
        raise CheckpointError(f"{where}: an added token beside it has the id {shown(stated)}")
    return stated


def _added(entry: object, token_id: int, where: str) -> dict[str, Any]:
    content = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(content, str) or not content:
        raise CheckpointError(f"{where}: the added token {shown(entry)} beside it has no content")
    switches = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"id": token_id, "content": content} | {
        switch: entry.get(switch) is True for switch in switches
    }
