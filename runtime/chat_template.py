"""A model's chat template: messages to the text that the model was trained to answer.

Templates are programs in Jinja, written by strangers. They run in Jinja's sandbox, which gives
them no files and no attributes of Python's own, and what they write is bounded.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import CheckpointError, TrilobiteError
from ..quant.checkpoint.files.fields import shown

__all__ = ["CHATML", "ChatTemplate", "Message", "stated_template"]

Message = Mapping[str, str]   # "role" (system, user, assistant) and "content"

# The form that most models without a template of their own were trained with.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEMPLATE_LIMIT = 1 << 20   # characters; the longest of public models has 20 thousand
_TEXT_LIMIT = 16 << 20


class ChatTemplate:
    """Renders messages as ``transformers``' ``apply_chat_template`` does.

    Parameters
    ----------
    source
        The template.
    special
        Texts of special tokens that it may name, such as ``bos_token``.
    where
        What it came from, for messages.

    Raises
    ------
    CheckpointError
        It is no Jinja, or too long.
    """

    def __init__(self, source: str, special: Mapping[str, str], where: str) -> None:
        if len(source) > _TEMPLATE_LIMIT:
            raise CheckpointError(
                f"{where}: the chat template has {len(source)} characters; {_TEMPLATE_LIMIT} are "
                "the most that are taken"
            )
        self._special, self._where = special, where
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"],
        )
        environment.filters["tojson"] = _as_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise CheckpointError(f"{where}: the chat template is not Jinja: {error}") from None

    def render(self, messages: Sequence[Message]) -> str:
        """The text of ``messages`` up to where the model's answer begins.

        Raises ``TrilobiteError`` if the template refuses them, or fails.
        """
        values = {**self._special, "messages": [dict(message) for message in messages],
                  "add_generation_prompt": True, "tools": None, "documents": None}
        pieces, length = [], 0
        try:
            for piece in self._template.generate(values):
                pieces.append(piece)
                length += len(piece)
                if length > _TEXT_LIMIT:
                    break
        except Exception as error:   # a template can fail in as many ways as any program
            raise TrilobiteError(f"{self._where}: the chat template says: {error}") from None
        if length > _TEXT_LIMIT:
            raise TrilobiteError(
                f"{self._where}: the chat template writes more than {_TEXT_LIMIT} characters"
            )
        return "".join(pieces)


def stated_template(settings: dict[str, Any], file: str | None, where: Path) -> str | None:
    """The template that a checkpoint states; None if it has none.

    Parameters
    ----------
    settings
        tokenizer_config.json: ``chat_template`` is a text, or a list of named ones.
    file
        What chat_template.jinja holds, which goes before; None where there is no such file.
    where
        tokenizer_config.json's path, for messages.
    """
    if file is not None:
        return file
    stated = settings.get("chat_template")
    if isinstance(stated, list):
        named = {entry.get("name"): entry.get("template")
                 for entry in stated if isinstance(entry, dict)}
        stated = named.get("default", next(iter(named.values()), None))
    if stated is not None and not isinstance(stated, str):
        raise CheckpointError(f'{where}: "chat_template" is {shown(stated)}; it must be a text')
    return stated


def _as_json(value: Any, indent: int | None = None, **options: Any) -> str:
    """JSON as transformers' filter writes it: not escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
