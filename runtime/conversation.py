"""A conversation with a model: messages, and the keys and values of what was said so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import TrilobiteError
from .chat_template import ChatTemplate, Message
from .language_model import Generation, LanguageModel, Session
from .sampling import Sampler, Sampling
from .stop_strings import StopStrings

__all__ = ["Conversation"]


class Conversation:
    """Turns of user and model. What the model has seen already is not computed again.

    Parameters
    ----------
    model
        Loaded.
    template
        Turns messages into the text that the model continues.
    context
        Tokens that the whole conversation may have, answers included.
    system
        What is said to the model before the first turn.
    sampling, stop
        How answers are chosen, and strings that end one, besides the model's end tokens.

    Attributes
    ----------
    messages
        Everything said, in order.
    """

    def __init__(
        self, model: LanguageModel, template: ChatTemplate, context: int,
        system: str | None = None, sampling: Sampling | None = None, stop: Sequence[str] = (),
    ) -> None:
        StopStrings(stop)   # refuses what it cannot take before anything is said
        self._model, self._template, self.context = model, template, context
        self._sampling, self._stop = sampling or Sampling(), tuple(stop)
        self._system: list[Message] = [] if system is None else [_message("system", system)]
        self.clear()

    def clear(self) -> None:
        """Forget all turns."""
        self.messages: list[Message] = list(self._system)
        self._session: Session | None = None
        self._fed: list[int] = []

    def ask(self, text: str, new_tokens: int) -> Answer:
        """Say ``text``; iterate over the result for the pieces of the answer.

        The turn is kept when the iteration ends, by itself or by ``Answer.close``.

        Raises ``TrilobiteError`` if the conversation leaves no room for an answer.
        """
        asked = [*self.messages, _message("user", text)]
        ids = self._model.tokenizer.encode(self._template.render(asked), begin=False)
        if not ids:
            raise TrilobiteError("The chat template makes no text of this message")
        room = self.context - len(ids)
        if room < 1:
            raise TrilobiteError(
                f"The conversation has {len(ids)} tokens, of {self.context} (--context); begin "
                "anew, or say less"
            )
        session = self._at_common_start(ids)
        generation = Generation(
            session, self._model.tokenizer, ids[session.position:],
            min(new_tokens, room), Sampler(self._sampling, ids), StopStrings(self._stop),
        )
        return Answer(self, asked, ids, generation)

    def _at_common_start(self, ids: list[int]) -> Session:
        """The session, wound back to where ``ids`` part from what it was fed.

        Tokens of an answer may come back differently: a template can drop parts of it, and its
        text be split in another way. At least the last of ``ids`` is left to be fed.
        """
        if self._session is None:
            self._session = self._model.session(self.context)
        most = min(len(self._fed), len(ids) - 1, self._session.position)
        same = next((at for at in range(most) if ids[at] != self._fed[at]), most)
        self._session.position = same
        return self._session

    def _keep(self, messages: list[Message], fed: list[int]) -> None:
        self.messages, self._fed = messages, fed


class Answer(Iterator[str]):
    """Pieces of an answer as they are generated; ``generation`` has its tokens and times."""

    def __init__(
        self, conversation: Conversation, asked: list[Message], prompt: list[int],
        generation: Generation,
    ) -> None:
        self.generation = generation
        self._conversation, self._asked, self._prompt = conversation, asked, prompt
        self._pieces: list[str] = []
        self._kept = False

    def __next__(self) -> str:
        try:
            piece = next(self.generation)
        except StopIteration:
            self.close()
            raise
        self._pieces.append(piece)
        return piece

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._pieces)

    def close(self) -> None:
        """End the answer where it is, and keep the turn."""
        if self._kept or not self.generation.tokens:
            return
        self._kept = True
        spoken = [*self._asked, _message("assistant", self.text)]
        # The last token was chosen but has not been fed.
        self._conversation._keep(spoken, [*self._prompt, *self.generation.tokens[:-1]])


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
