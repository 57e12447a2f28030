"""``trilobite generate``."""

from __future__ import annotations

import math
from pathlib import Path

from ..api.models import load
from ..cli.console import Output
from ..runtime.compiling import when_compiling
from ..runtime.language_model import Generation

__all__ = ["run"]


def run(
    output: Output, path: str, prompt: str, new_tokens: int, temperature: float,
    top_k: int, top_p: float, seed: int, kv: str,
    kv_scales: Path | None, mmap: bool,
) -> None:
    """Stream the continuation of ``prompt`` and print the rates."""
    with (
        when_compiling(output.notes), output.console.status("Loading the model ..."),
    ):
        model = load(path, kv=kv, kv_scales=kv_scales, mmap=mmap)
        model.warm_up()
        generation = model.generate(prompt, new_tokens, temperature, top_k, top_p, seed)
        first = next(generation, "")
    output.print(prompt, style="dim", end="", markup=False)
    output.print(first, end="", markup=False)
    text = first
    for piece in generation:
        output.print(piece, end="", markup=False, soft_wrap=True)
        text += piece
    output.print()
    _print_rates(output, generation)
    output.json({
        "prompt": prompt,
        "text": text,
        "tokens": generation.tokens,
        "prompt_tokens": len(generation.prompt_tokens),
        "prefill_tokens_per_second": generation.prefill_rate,
        "decode_tokens_per_second": _number(generation.decode_rate),
    })


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _print_rates(output: Output, generation: Generation) -> None:
    output.print(
        f"[dim]prefill {len(generation.prompt_tokens)} tokens, {generation.prefill_rate:.1f} "
        f"tokens/s; decode {len(generation.tokens)} tokens, {generation.decode_rate:.1f} "
        "tokens/s[/]"
    )
