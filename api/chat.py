"""Talk with a model: ``chat`` gives a conversation, of whichever chat template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import TrilobiteError
from ..runtime.chat_template import CHATML, ChatTemplate
from ..runtime.conversation import Conversation
from ..runtime.language_model import LanguageModel
from ..runtime.sampling import Sampling
from ..runtime.text import read_text
from .models import load

__all__ = ["Conversation", "chat", "chat_template", "question"]

_CONTEXT = 4096


def chat(
    model: LanguageModel | str | Path, system: str | None = None,
    template: str | Path | None = None, context: int | None = None,
    sampling: Sampling | None = None, stop: Sequence[str] = (),
) -> Conversation:
    """Begin a conversation.

    >>> conversation = trilobite.chat("model", system="You answer in one sentence.")
    >>> for piece in conversation.ask("What is a trilobite?", 100): print(piece, end="")

    Parameters
    ----------
    model
        A loaded model, or what ``load`` takes.
    system
        What the model is told before the first turn.
    template
        ``chatml``, or a file with a Jinja template; None takes the model's own.
    context
        Tokens that the conversation may have; None takes all positions of the model, at most 4,096.
    sampling, stop
        How answers are chosen, and strings that end one.

    Raises
    ------
    TrilobiteError
        As ``load`` does; the model has no chat template and none is given; ``context`` is more
        than the model has positions.
    """
    loaded = model if isinstance(model, LanguageModel) else load(model)
    positions = loaded.config.max_position_embeddings
    if context is not None and not 1 <= context <= positions:
        raise TrilobiteError(f"The context must be from 1 to {positions} tokens, not {context}")
    return Conversation(
        loaded, chat_template(loaded, template), context or min(positions, _CONTEXT), system,
        sampling, stop,
    )


def chat_template(model: LanguageModel, template: str | Path | None = None) -> ChatTemplate:
    """The template that turns messages into text; parameters and errors are those of ``chat``."""
    if template is None:
        own = model.tokenizer.chat_template()
        if own is None:
            raise TrilobiteError(
                f"{model.folder} has no chat template, so the model was hardly trained to talk; "
                "name one (--template chatml, or a file), or use generate"
            )
        return own
    if template == "chatml":
        return model.tokenizer.templated(CHATML, "chatml")
    return model.tokenizer.templated(read_text(Path(template)), str(template))


def question(
    model: LanguageModel, text: str, template: str | Path | None = None
) -> list[int]:
    """Token ids of ``text`` as the first turn of a conversation; errors are those of ``chat``."""
    rendered = chat_template(model, template).render([{"role": "user", "content": text}])
    return model.tokenizer.encode(rendered, begin=False)
