"""``trilobite evaluate``."""

from __future__ import annotations

from pathlib import Path

from ..api.models import load
from ..cli.console import Output
from ..runtime.language_model import LanguageModel, Perplexity
from ..runtime.text import read_text

__all__ = ["measure", "run"]


def run(
    output: Output, path: str, text: Path | None, tokens: int | None, kv: str,
    kv_scales: Path | None, mmap: bool,
) -> None:
    """Print the perplexity of ``text``, or of the held-out modules."""
    with output.console.status("Loading the model ..."):
        model = load(path, kv=kv, kv_scales=kv_scales, mmap=mmap)
        ids = model.held_out_tokens() if text is None else model.tokenizer.encode(read_text(text))
    result = measure(output, model, ids[:tokens], f"Perplexity of {path}")
    output.print(
        f"[bold]{result.value:.4f}[/] perplexity over {result.tokens} tokens "
        f"({model.kv} keys and values)"
    )
    output.json({"perplexity": result.value, "tokens": result.tokens, "kv": model.kv})


def measure(output: Output, model: LanguageModel, ids: list[int], label: str) -> Perplexity:
    """Measure with a progress bar."""
    with output.bar(label) as bar:
        return model.perplexity_of_tokens(ids, progress=bar)
