"""``trilobite generate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..tools.progress import Silent
from .app import app
from .console import Output
from .options import KV, Json, KVScales, Mmap, Model

if TYPE_CHECKING:
    from ..api.models import GenerationResult

__all__ = ["generate"]


@app.command(epilog="Example: trilobite generate demo-llama --prompt 'def add(' -n 32")
def generate(
    model: Model,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="Text to continue.")],
    new_tokens: Annotated[int, typer.Option("-n", "--new-tokens", help="At most this many.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Keep the k most probable; 0 keeps all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Keep this much probability; 1 keeps all.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same text.")] = 0,
    kv: Annotated[KV, typer.Option(help="Format of the KV cache.")] = KV.AUTO,
    kv_scales: KVScales = None,
    mmap: Mmap = True,
    json: Json = None,
) -> None:
    """Continue a prompt, streaming the text; prints prefill and decode tokens/s.

    In a file or a pipe, standard output is the generated text and nothing else.
    """
    from ..api.models import generate as continue_text
    from ..api.models import load

    output = Output(json)
    with output.status("Loading the model ...") as status:
        loaded = load(model, kv.value, kv_scales=kv_scales, mmap=mmap)
        loaded.warm_up(output.notes)
        writer = _Writer(output, prompt, status)
        result = continue_text(
            loaded, prompt, new_tokens, temperature, top_k, top_p, seed, writer
        )
    writer.end()
    output.aside("[dim]{}[/]", _rates(result))
    output.json({
        "prompt": prompt,
        "text": result.text,
        "tokens": list(result.tokens),
        "prompt_tokens": len(result.prompt_tokens),
        "prefill_tokens_per_second": result.prefill_rate,
        "decode_tokens_per_second": result.decode_rate,
    })


class _Writer(Silent):
    """Writes the text as it comes, after the prompt if people read it."""

    def __init__(self, output: Output, prompt: str, status: Any) -> None:
        self._output, self._prompt, self._status = output, prompt, status

    def finished(self, item: object) -> None:
        """Write a piece of text."""
        self._begin()
        self._output.stream(str(item))

    def note(self, sentence: str) -> None:
        """Say on standard error why it takes long."""
        self._output.notes.note(sentence)

    def end(self) -> None:
        """The text is complete."""
        self._begin()
        if not self._output.exact:
            self._output.print()

    def _begin(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None
            if not self._output.exact:
                self._output.stream(self._prompt, style="dim")


def _rates(result: GenerationResult) -> str:
    prefill = f"prefill {len(result.prompt_tokens)} tokens, {result.prefill_rate:.1f} tokens/s"
    if result.decode_rate is None:
        return f"{prefill}; its logits gave the only new token"
    return f"{prefill}; decode {len(result.tokens)} tokens, {result.decode_rate:.1f} tokens/s"
