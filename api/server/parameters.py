"""What a request says, field by field: understood, known to change nothing, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import TrilobiteError
from ...quant.checkpoint.files.fields import parse_json_object, shown
from ...runtime.chat_template import Message
from ...runtime.sampling import Sampling

__all__ = ["Asked", "RequestError", "chat_messages", "completion_prompt", "parse"]

# Fields that do not change the text.
_NOTES = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
          "parallel_tool_calls")
# Fields that would change it, with the values that change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logprobs": (False,),
    "top_logprobs": (0,), "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},),
    "tools": ([],), "tool_choice": ("none", "auto"), "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
_MOST_TOKENS = 1 << 20


class RequestError(TrilobiteError):
    """A request cannot be answered; ``field`` is the one at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Asked:
    """The fields that completions and chats share.

    ``new_tokens`` is None where the request leaves it open.
    """

    new_tokens: int | None
    sampling: Sampling
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool


def parse(body: bytes, model: str, own: tuple[str, ...]) -> tuple[dict[str, Any], Asked]:
    """The JSON object of a request, and what it asks for.

    Parameters
    ----------
    body
        What was sent.
    model
        The name of the model that is served.
    own
        Fields that the end point reads itself.

    Raises
    ------
    RequestError
        A field is not understood, is out of its range, or names another model.
    """
    try:
        values = parse_json_object(body, "The request")
    except TrilobiteError as error:
        raise RequestError(str(error)) from None
    taken = _Values(values)
    stated = taken.get("model")
    if stated is not None and stated != model:
        raise RequestError(f"The model {shown(stated)} is not served here; {model!r} is", "model")
    options = taken.get("stream_options") or {}
    if not isinstance(options, dict):
        raise RequestError(f"stream_options is {shown(options)}; it must be an object",
                           "stream_options")
    asked = Asked(
        _new_tokens(taken), _sampling(taken), _stop(taken), taken.boolean("stream"),
        options.get("include_usage") is True,
    )
    taken.finish(own)
    return values, asked


class _Values:
    """The fields of a request; null counts as absent."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._taken = {*_NOTES}

    def get(self, name: str) -> Any:
        self._taken.add(name)
        return self._values.get(name)

    def number(self, name: str, default: float) -> float:
        value = self.get(name)
        if value is None:
            return default
        if type(value) not in (int, float) or abs(value) > 1e9:
            raise RequestError(f"{name} is {shown(value)}; it must be a number", name)
        return float(value)

    def integer(self, name: str, default: int | None, high: int) -> int | None:
        value = self.get(name)
        if value is None:
            return default
        if type(value) is not int or not 0 <= value <= high:
            raise RequestError(
                f"{name} is {shown(value)}; it must be an integer from 0 to {high}", name)
        return value

    def boolean(self, name: str) -> bool:
        value = self.get(name)
        if value is not None and type(value) is not bool:
            raise RequestError(f"{name} is {shown(value)}; it must be true or false", name)
        return bool(value)

    def finish(self, own: tuple[str, ...]) -> None:
        """Refuse what is not understood."""
        for name, value in self._values.items():
            if name in self._taken or name in own or value is None:
                continue
            neutral = _NEUTRAL.get(name)
            if neutral is None:
                raise RequestError(f"The field {shown(name)} is not understood", name)
            if value not in neutral:
                raise RequestError(
                    f"{name} is {shown(value)}; only {shown(neutral[0])} is supported", name)


def _new_tokens(values: _Values) -> int | None:
    named = {name: values.integer(name, None, _MOST_TOKENS)
             for name in ("max_tokens", "max_completion_tokens")}
    stated = {count for count in named.values() if count is not None}
    if len(stated) > 1:
        raise RequestError("max_tokens and max_completion_tokens differ", "max_tokens")
    count = next(iter(stated), None)
    if count == 0:
        raise RequestError("max_tokens is 0; it must be at least 1", "max_tokens")
    return count


def _sampling(values: _Values) -> Sampling:
    """OpenAI's defaults: temperature 1, nothing left out."""
    seed = values.integer("seed", 0, (1 << 63) - 1)
    top_k = values.integer("top_k", 0, _MOST_TOKENS)
    assert seed is not None and top_k is not None, "they have defaults"
    temperature, top_p = values.number("temperature", 1.0), values.number("top_p", 1.0)
    min_p, penalty = values.number("min_p", 0.0), values.number("repetition_penalty", 1.0)
    try:
        return Sampling(temperature, top_k, top_p, seed, min_p, penalty)
    except TrilobiteError as error:
        raise RequestError(str(error)) from None


def _stop(values: _Values) -> tuple[str, ...]:
    stated = values.get("stop")
    stops = [stated] if isinstance(stated, str) else stated or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise RequestError(f"stop is {shown(stated)}; it must be a text or a list of texts", "stop")
    return tuple(stops)


def completion_prompt(values: dict[str, Any]) -> str | list[int]:
    """The text, or token ids, that a completion continues."""
    prompt = values.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return prompt
    raise RequestError(
        f"prompt is {shown(prompt)}; it must be one text, or one list of token ids", "prompt")


def chat_messages(values: dict[str, Any]) -> list[Message]:
    """The messages of a chat: role and text each."""
    messages = values.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError(f"messages is {shown(messages)}; it must be a list", "messages")
    return [_message(message) for message in messages]


def _message(message: Any) -> Message:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str):
        raise RequestError(f"The message {shown(message)} has no role", "messages")
    content = message.get("content")
    if isinstance(content, list):   # parts: texts, images, sound
        parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
                 for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise RequestError(f"A message of {role} has a part that is no text", "messages")
        content = "".join(map(str, parts))
    if not isinstance(content, str):
        raise RequestError(f"A message of {role} has the content {shown(content)}", "messages")
    return {"role": role, "content": content}
