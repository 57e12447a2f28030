"""``trilobite generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import TrilobiteError
from . import options
from .app import app
from .console import Output
from .prompts import prompt_text
from .text_writer import TextWriter

if TYPE_CHECKING:
    from ..api.models import GenerationResult

__all__ = ["generate"]


@app.command(epilog="Example: trilobite generate demo-llama --prompt 'def add(' -n 32")
def generate(
    model: options.Model,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", metavar="TEXT|@FILE|-",
                     help="Text to continue; @FILE reads it from a file, - from standard input."),
    ] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="A UTF-8 file with the text to continue.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="The text is a question, put by the chat template.")
    ] = False,
    template: options.Template = None,
    new_tokens: Annotated[int, typer.Option("-n", "--new-tokens", help="At most this many.")] = 64,
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
    """Continue a prompt, streaming the text; prints prefill and decode tokens/s.

    In a file or a pipe, standard output is the generated text and nothing else.
    """
    from ..api.chat import question
    from ..api.models import generate as continue_text
    from ..api.models import load

    output = Output(json)
    text = prompt_text(prompt, prompt_file)
    if template is not None and not chat:
        raise TrilobiteError("--template is for --chat, which is not asked for")
    with output.status("Loading the model ...") as status:
        loaded = load(model, kv.value, kv_scales=kv_scales, mmap=mmap)
        loaded.warm_up(output.notes)
        asked: str | list[int] = text
        if chat:
            asked = question(loaded, text, template)
        writer = TextWriter(output, text + "\n" if chat else text, status)
        result = continue_text(
            loaded, asked, new_tokens, temperature, top_k, top_p, seed, writer, min_p,
            repetition_penalty, stop or ()
        )
    writer.end()
    output.aside("[dim]{}[/]", _rates(result))
    output.json({
        "prompt": text,
        "text": result.text,
        "tokens": list(result.tokens),
        "prompt_tokens": len(result.prompt_tokens),
        "prefill_tokens_per_second": result.prefill_rate,
        "decode_tokens_per_second": result.decode_rate,
    })


def _rates(result: GenerationResult) -> str:
    prefill = f"prefill {len(result.prompt_tokens)} tokens, {result.prefill_rate:.1f} tokens/s"
    if result.decode_rate is None:
        return f"{prefill}; its logits gave the only new token"
    return f"{prefill}; decode {len(result.tokens)} tokens, {result.decode_rate:.1f} tokens/s"
