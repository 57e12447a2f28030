"""``trilobite bench``."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from rich.table import Table

from ..api.models import load
from ..cli.console import Output, bytes_text, make_table
from ..errors import TrilobiteError
from ..quant.formats import parse_format
from ..runtime.compiling import when_compiling
from ..runtime.decoder import Decoder
from ..runtime.kernels.choice import chosen_kernel
from ..runtime.kv_cache import KVKind
from ..runtime.random_weights import random_weights
from ..runtime.timing import (
    DecodeTime,
    PrefillTime,
    memory,
    threads,
    time_decode,
    time_prefill,
)
from ..sim.descriptions.shapes import load_shape

__all__ = ["counts", "run"]

_PREFILL_RUNS = 3
_FIRST_PROMPT = 16   # tokens, to time the first token with


def run(
    output: Output, model: str | None, shape: str | None, kv: str, seed: int, contexts: str,
    prompts: str, thread_counts: str, steps: int, mmap: bool, format: str,
) -> None:
    """Time decode steps and prefills of a checkpoint, or of random weights of a shape."""
    lengths = {
        "--context": counts("--context", contexts), "--prompt": counts("--prompt", prompts),
        "--threads": counts("--threads", thread_counts),
    }
    if steps < 1:
        raise TrilobiteError(f"--steps must be at least 1, not {steps}")
    for count in lengths["--threads"]:
        with threads(count):   # raises before the long work
            pass
    with (
        when_compiling(output.notes), output.console.status("Loading the model ..."),
    ):
        began = time.perf_counter()
        name, decoder, kind = _decoder(model, shape, kv, seed, mmap, format)
        load_seconds = time.perf_counter() - began
        first_seconds = time_prefill(decoder, kind, _FIRST_PROMPT, 1, warm_up=0).seconds
    resident, _ = memory()
    decodes: list[DecodeTime] = []
    prefills: list[PrefillTime] = []
    for count in lengths["--threads"]:
        with threads(count), output.console.status(f"Measuring with {count} threads ..."):
            for context in lengths["--context"]:
                decodes.append(time_decode(decoder, kind, context, steps))
            for tokens in lengths["--prompt"]:
                prefills.append(time_prefill(decoder, kind, tokens, _PREFILL_RUNS))
    facts = {
        "model": name, "kv": kind, "kernel": chosen_kernel(), "weight_bytes": decoder.nbytes,
        "load_seconds": load_seconds, "first_token_seconds": first_seconds,
        "resident_bytes": resident, "peak_resident_bytes": memory()[1],
    }
    _print(output, facts, decodes, prefills)
    output.json(facts | {
        "decode": [_decode_json(result) for result in decodes],
        "prefill": [
            asdict(result) | {"tokens_per_second": result.tokens_per_second} for result in prefills
        ],
    })


def counts(option: str, text: str) -> list[int]:
    """Whole numbers above zero from ``text``, "128,1024"; an empty text is none of them.

    Raises ``TrilobiteError``, naming ``option``.
    """
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise TrilobiteError(
            f"{option} takes whole numbers above 0 with commas between them, as in 128,1024; "
            f"not {text!r}"
        )
    return [int(word) for word in words]


def _decoder(
    model: str | None, shape: str | None, kv: str, seed: int, mmap: bool,
    format: str,
) -> tuple[str, Decoder, KVKind]:
    """The decoder to time, its name, and how it caches keys and values."""
    if (model is None) == (shape is None):
        raise TrilobiteError("bench takes either a MODEL or --shape with the name of a shape")
    if model is not None:
        loaded = load(model, kv=kv, mmap=mmap)
        return model, loaded.decoder, loaded.kv
    described = load_shape(shape)
    form = parse_format(format)
    decoder = Decoder(described.config, random_weights(described.config, form, seed))
    return f"{described.name}, random {form.name}", decoder, "int8" if kv == "auto" else kv


def _decode_json(result: DecodeTime) -> dict[str, Any]:
    return asdict(result) | {
        "tokens_per_second": result.tokens_per_second,
        "bytes_per_second": result.bytes_per_second,
    }


def _print(
    output: Output, facts: dict[str, Any], decodes: list[DecodeTime], prefills: list[PrefillTime]
) -> None:
    output.print(
        f"[bold]{facts['model']}[/]: weights {bytes_text(facts['weight_bytes'])}, in memory "
        f"{bytes_text(facts['resident_bytes'])} (at most {bytes_text(facts['peak_resident_bytes'])}"
        f"); loaded in {facts['load_seconds']:.2f} s, first token after "
        f"{facts['first_token_seconds']:.2f} s more; kernel {facts['kernel']}, "
        f"{facts['kv']} keys and values"
    )
    if decodes:
        output.print(_decode_table(decodes))
    if prefills:
        output.print(_prefill_table(prefills))


def _decode_table(decodes: list[DecodeTime]) -> Table:
    table = make_table(
        ">context", ">threads", ">tokens/s", ">ms", ">matmul", ">attention", ">head", ">rest",
        ">GB/s", title="Decode: tokens/s, and milliseconds of a token",
    )
    for result in decodes:
        stages = (result.step, result.matmul, result.attention, result.head, result.rest)
        table.add_row(
            str(result.context), str(result.threads), f"{result.tokens_per_second:.1f}",
            *(f"{1e3 * seconds:.2f}" for seconds in stages), f"{result.bytes_per_second / 1e9:.1f}",
        )
    return table


def _prefill_table(prefills: list[PrefillTime]) -> Table:
    table = make_table(">prompt", ">threads", ">tokens/s", ">seconds", title="Prefill")
    for result in prefills:
        table.add_row(
            str(result.tokens), str(result.threads), f"{result.tokens_per_second:.1f}",
            f"{result.seconds:.3f}",
        )
    return table
