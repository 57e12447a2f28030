"""How fast a model runs on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import TrilobiteError
from ..quant.formats import Format, parse_format
from ..runtime.compiling import when_compiling
from ..runtime.decoder import Decoder
from ..runtime.kernels.choice import chosen_kernel
from ..runtime.kv_cache.cache import KVKind
from ..runtime.random_weights import random_weights
from ..runtime.timing import (
    WARM_UP_STEPS,
    DecodeTime,
    PrefillTime,
    memory,
    threads,
    time_decode,
    time_prefill,
)
from ..sim.descriptions.shapes import load_shape
from ..tools.progress import SILENT, Progress
from .bench_peer import PeerRates, check_peer, peer_rates
from .models import load

__all__ = ["BenchResult", "bench"]

_CONTEXTS, _PROMPTS = (128, 1024), (128, 512)
_PREFILL_RUNS = 3
_FIRST_PROMPT = 16   # tokens, to time the first token with


@dataclass(frozen=True)
class BenchResult:
    """Rates of a model.

    Attributes
    ----------
    model
        Its name; of random weights the shape's, with their format.
    kv, kernel
        How keys and values were kept, and for which instructions the kernels are.
    weight_bytes, resident_bytes, peak_resident_bytes
        Memory of the weights, and of the process when loaded and at most.
    load_seconds, first_token_seconds
        Seconds to load, and then to the first token's logits, compiling included.
    decode, prefill
        By threads and length.
    peer
        What another runtime reached, if it was asked for.
    """

    model: str
    kv: KVKind
    kernel: str
    weight_bytes: int
    load_seconds: float
    first_token_seconds: float
    resident_bytes: int
    peak_resident_bytes: int
    decode: tuple[DecodeTime, ...]
    prefill: tuple[PrefillTime, ...]
    peer: PeerRates | None = None

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values, with the rates."""
        return asdict(self) | {
            "decode": [
                asdict(one) | {"tokens_per_second": one.tokens_per_second,
                               "bytes_per_second": one.bytes_per_second}
                for one in self.decode
            ],
            "prefill": [
                asdict(one) | {"tokens_per_second": one.tokens_per_second} for one in self.prefill
            ],
        }


def bench(
    model: str | Path | None = None, shape: str | Path | None = None,
    format: Format | str = "ternary", contexts: Sequence[int] | None = None,
    prompts: Sequence[int] | None = None,
    thread_counts: Sequence[int] = (1,), steps: int = 16, kv: KVKind | Literal["auto"] = "auto",
    seed: int = 0, mmap: bool = True, progress: Progress = SILENT, peer: str | None = None,
) -> BenchResult:
    """Time decode steps and prefills of a checkpoint, or of random weights of a shape.

    Parameters
    ----------
    model, shape
        Either what ``load`` takes, or a bundled shape or a .toml file.
    format
        Of a shape's random linear weights, as ``quantize`` takes it.
    contexts, prompts
        Tokens before a decode step, and of a prefill. None takes 128 and 1024, and 128 and 512, as
        far as the model has positions.
    thread_counts
        Each length is timed with each of them.
    steps
        Decode steps to take the median of.
    kv, mmap
        As in ``load``.
    seed
        Of a shape's random weights.
    progress
        Counts measurements.
    peer
        ``llama.cpp``: time that too, on the same model exported to GGUF.

    Raises
    ------
    TrilobiteError
        A number is out of range, there are not so many threads, the model has not enough
        positions; or as ``load`` does.
    """
    _check(model, shape, steps, seed, thread_counts, (*(contexts or ()), *(prompts or ())))
    if peer is not None:
        check_peer(peer, model)
    progress.doing("Loading the model")
    with when_compiling(progress):
        began = time.perf_counter()
        name, decoder, kind = _decoder(model, shape, kv, seed, mmap, format)
        load_seconds = time.perf_counter() - began
        first_seconds = time_prefill(decoder, kind, _FIRST_PROMPT, 1, warm_up=0).seconds
    limit = decoder.config.max_position_embeddings
    if contexts is None:
        contexts = _fitting(_CONTEXTS, limit - WARM_UP_STEPS - steps)
    if prompts is None:
        prompts = _fitting(_PROMPTS, limit)
    resident, _ = memory()
    progress.start(len(thread_counts) * (len(contexts) + len(prompts)))
    decodes: list[DecodeTime] = []
    prefills: list[PrefillTime] = []
    for count in thread_counts:
        progress.doing(f"Measuring with {count} threads")
        with threads(count):
            for context in contexts:
                decodes.append(time_decode(decoder, kind, context, steps))
                progress.advance()
            for tokens in prompts:
                prefills.append(time_prefill(decoder, kind, tokens, _PREFILL_RUNS))
                progress.advance()
    theirs = None
    if peer is not None and model is not None:
        progress.doing(f"Measuring {peer}")
        theirs = peer_rates(model, decoder.config.vocab_size, contexts, prompts, thread_counts,
                            steps)
    return BenchResult(
        name, kind, chosen_kernel(), decoder.nbytes, load_seconds, first_seconds, resident,
        memory()[1], tuple(decodes), tuple(prefills), theirs,
    )


def _check(
    model: str | Path | None, shape: str | Path | None, steps: int, seed: int,
    thread_counts: Sequence[int], lengths: Sequence[int],
) -> None:
    """Refuse what cannot be measured, before the long work."""
    if (model is None) == (shape is None):
        raise TrilobiteError("bench takes either a MODEL or --shape with the name of a shape")
    if steps < 1:
        raise TrilobiteError(f"--steps must be at least 1, not {steps}")
    if seed < 0:
        raise TrilobiteError(f"The seed must be 0 or a positive integer, not {seed}")
    for length in lengths:
        if length < 1:
            raise TrilobiteError(f"A context or a prompt has at least 1 token, not {length}")
    for count in thread_counts:
        with threads(count):   # raises if there are not so many
            pass


def _fitting(lengths: Sequence[int], limit: int) -> tuple[int, ...]:
    """``lengths``, none of them above ``limit`` and none twice; nothing if there is no room."""
    return tuple(dict.fromkeys(min(length, limit) for length in lengths)) if limit > 0 else ()


def _decoder(
    model: str | Path | None, shape: str | Path | None, kv: KVKind | Literal["auto"], seed: int,
    mmap: bool, format: Format | str,
) -> tuple[str, Decoder, KVKind]:
    """The decoder to time, its name, and how it caches keys and values."""
    if model is not None:
        loaded = load(model, kv=kv, mmap=mmap)
        return str(model), loaded.decoder, loaded.kv
    described = load_shape(str(shape))
    form = parse_format(format)
    decoder = Decoder(described.config, random_weights(described.config, form, seed))
    return f"{described.name}, random {form.name}", decoder, "int8" if kv == "auto" else kv
