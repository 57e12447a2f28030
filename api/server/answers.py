"""What the server answers: OpenAI's objects, and the events of a stream."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Completion", "error_body", "event", "model_list"]

Kind = Literal["chat", "text"]
_OBJECTS = {
    ("chat", False): "chat.completion", ("chat", True): "chat.completion.chunk",
    ("text", False): "text_completion", ("text", True): "text_completion",
}
_PREFIX = {"chat": "chatcmpl-", "text": "cmpl-"}


@dataclass
class Completion:
    """One answer, in the form of a chat or of a text."""

    kind: Kind
    model: str
    prompt_tokens: int
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        """Give it a name."""
        self.id = self.id or _PREFIX[self.kind] + uuid.uuid4().hex

    def whole(self, text: str, reason: str, tokens: int) -> dict[str, Any]:
        """The answer as one object."""
        said: dict[str, Any] = {"text": text}
        if self.kind == "chat":
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        return self._object(False, [choice]) | {"usage": self._usage(tokens)}

    def begin(self) -> dict[str, Any]:
        """The first chunk of a chat."""
        return self._chunk({"role": "assistant", "content": ""}, "", None)

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk with text."""
        return self._chunk({"content": text}, text, None)

    def end(self, reason: str) -> dict[str, Any]:
        """The chunk that ends the text."""
        return self._chunk({}, "", reason)

    def usage(self, tokens: int) -> dict[str, Any]:
        """The chunk behind the last one, where it was asked for."""
        return self._object(True, []) | {"usage": self._usage(tokens)}

    def _chunk(self, delta: dict[str, Any], text: str, reason: str | None) -> dict[str, Any]:
        said = {"delta": delta} if self.kind == "chat" else {"text": text}
        return self._object(
            True, [{"index": 0, **said, "logprobs": None, "finish_reason": reason}])

    def _object(self, chunk: bool, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": _OBJECTS[self.kind, chunk], "created": self.created,
                "model": self.model, "choices": choices}

    def _usage(self, tokens: int) -> dict[str, int]:
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": tokens,
                "total_tokens": self.prompt_tokens + tokens}


def event(value: dict[str, Any] | str) -> bytes:
    """One event of a stream (server-sent events)."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def error_body(message: str, kind: str, field: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": field, "code": None}}


def model_list(model: str, created: int) -> dict[str, Any]:
    """The one model that is served."""
    one = {"id": model, "object": "model", "created": created, "owned_by": "trilobite"}
    return {"object": "list", "data": [one]}
