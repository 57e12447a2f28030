"""A request on its way through the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..language_model import Session
from ..sampling import Sampler, Sampling
from ..stop_strings import StopStrings
from ..text import TextStream, Tokenizer

__all__ = ["Ended", "Event", "Failed", "Piece", "Request"]


@dataclass(frozen=True)
class Piece:
    """Text that was generated."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The last event of a request: ``reason`` is stop, or length at the limit of new tokens."""

    reason: Literal["stop", "length"]
    tokens: int


@dataclass(frozen=True)
class Failed:
    """The last event of a request that could not be answered."""

    message: str


Event = Piece | Ended | Failed


@dataclass(eq=False)
class Request:
    """What was asked, and how far its answer is.

    Attributes
    ----------
    prompt
        Token ids.
    new_tokens
        At most so many are generated.
    emit
        Is called with every event, by the thread of the engine; it must not wait.
    cancelled
        Whether nobody waits for the answer any more.
    """

    prompt: list[int]
    new_tokens: int
    emit: Callable[[Event], None]
    sampler: Sampler
    stops: StopStrings
    text: TextStream
    ends: tuple[int, ...]
    cancelled: bool = False
    session: Session | None = None
    fed: int = 0                    # tokens of the prompt
    generated: list[int] = field(default_factory=list)

    @classmethod
    def asked(
        cls, tokenizer: Tokenizer, prompt: list[int], new_tokens: int, sampling: Sampling,
        stop: Sequence[str], emit: Callable[[Event], None],
    ) -> Request:
        """A request; raises ``TrilobiteError`` if its stop strings are none."""
        return cls(prompt, new_tokens, emit, Sampler(sampling, prompt), StopStrings(stop),
                   TextStream(tokenizer), tokenizer.eos_token_ids)

    def take(self, token_id: int) -> bool:
        """Add a generated token, and tell of its text; whether the answer is complete."""
        self.generated.append(token_id)
        ended = token_id in self.ends
        self._write(self.stops.push(self.text.push(token_id)))
        if not ended and self.stops.found is None and len(self.generated) < self.new_tokens:
            return False
        if self.stops.found is None:
            self._write(self.stops.push(self.text.end()))
        if self.stops.found is None:
            self._write(self.stops.end())
        reason: Literal["stop", "length"] = (
            "stop" if ended or self.stops.found is not None else "length"
        )
        self.tell(Ended(reason, len(self.generated)))
        return True

    def tell(self, event: Event) -> None:
        """Emit ``event``, unless nobody waits for it."""
        if not self.cancelled:
            self.emit(event)

    def _write(self, text: str) -> None:
        if text:
            self.tell(Piece(text))
