"""``trilobite chat``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import TrilobiteError
from . import options
from .app import app
from .console import Output

if TYPE_CHECKING:
    from ..runtime.conversation import Answer, Conversation

__all__ = ["chat"]

_HELP = "/clear forgets the conversation, /exit (or Ctrl-D) ends it; Ctrl-C cuts an answer."


@app.command(epilog="Example: trilobite chat my-model --system 'You answer in one sentence.'")
def chat(
    model: options.Model,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the first turn.")
    ] = None,
    new_tokens: Annotated[
        int, typer.Option("-n", "--new-tokens", help="At most this many in an answer.")
    ] = 512,
    context: Annotated[
        int | None, typer.Option(help="Tokens of a conversation; default: the model's, up to 4096.")
    ] = None,
    template: options.Template = None,
    temperature: options.Temperature = 0.0,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    seed: options.Seed = 0,
    kv: Annotated[options.KV, typer.Option(help="Format of the KV cache.")] = options.KV.AUTO,
    kv_scales: options.KVScales = None,
    mmap: options.Mmap = True,
    json: options.Json = None,
) -> None:
    """Talk with a model in turns, by its chat template.

    Each line of standard input is a turn. Of a pipe's turns, standard output has the answers alone.
    """
    from ..api.chat import chat as begin
    from ..api.models import load
    from ..runtime.sampling import Sampling

    if new_tokens < 1:
        raise TrilobiteError(f"New tokens must be at least 1, not {new_tokens}")
    output = Output(json)
    sampling = Sampling(temperature, top_k, top_p, seed, min_p, repetition_penalty)
    with output.status("Loading the model ..."):
        loaded = load(model, kv.value, kv_scales=kv_scales, mmap=mmap)
        conversation = begin(loaded, system, template, context, sampling, stop or ())
        loaded.warm_up(output.notes)
    people = sys.stdin.isatty() and output.is_terminal
    if people:
        output.print("[dim]{}[/]", _HELP)
    answers = [_answer(output, conversation, text, new_tokens)
               for text in _turns(output, conversation, people)]
    output.json({"messages": [dict(message) for message in conversation.messages],
                 "answers": answers})


def _turns(output: Output, conversation: Conversation, people: bool) -> Iterator[str]:
    """What is said, turn by turn; commands are carried out."""
    while True:
        try:
            line = output.ask() if people else _piped_line()
        except EOFError:
            return
        text = line.strip()
        if text == "/exit":
            return
        if text == "/clear":
            conversation.clear()
        elif text.startswith("/") and people:
            output.print("[dim]{}[/]", _HELP)
        elif text:
            yield text


def _piped_line() -> str:
    """A line of standard input; ``EOFError`` at its end."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TrilobiteError(f"Standard input is not UTF-8 text: {error}") from None


def _answer(
    output: Output, conversation: Conversation, text: str, new_tokens: int
) -> dict[str, Any]:
    """Say ``text``, and write what the model answers as it comes."""
    answer = conversation.ask(text, new_tokens)
    cut = False
    try:
        for piece in answer:
            output.stream(piece)
    except KeyboardInterrupt:
        answer.close()
        cut = True
    output.stream("\n")
    generation = answer.generation
    if generation.tokens:
        output.aside("[dim]{}[/]", _summary(answer, cut))
    return {
        "text": answer.text, "tokens": len(generation.tokens),
        "prompt_tokens": len(generation.prompt_tokens), "ended": generation.ended,
    }


def _summary(answer: Answer, cut: bool) -> str:
    generation = answer.generation
    end = "cut" if cut else "" if generation.ended else "the limit of new tokens is reached (-n)"
    count = len(generation.tokens)
    rate = f", {generation.decode_rate:.1f} tokens/s" if count > 1 else ""
    return f"{count} tokens{rate}" + (f"; {end}" if end else "")
