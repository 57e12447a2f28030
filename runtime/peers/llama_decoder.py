"""Times llama.cpp's decoding and prefill, by the low-level interface of llama-cpp-python.

As a script, in a process without Trilobite, whose OpenMP would be told how to wait: it reads a JSON
object of the arguments of ``measure`` from its standard input and writes the result to the file
that is named there.

Every rate is the better one of two, with and without flash attention: neither is the faster for all
models and lengths on a CPU.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["available", "measure"]

_WARM_UP_STEPS = 2
_BATCH = 512          # llama-bench's
_PART = 128           # tokens
_ENOUGH = 6.0         # seconds: prefills that are as long in all are not repeated


def available() -> bool:
    """Whether llama-cpp-python is installed."""
    return importlib.util.find_spec("llama_cpp") is not None


@cache
def _silent() -> Any:
    """What llama.cpp calls instead of printing: it must live as long as the process does."""
    import llama_cpp  # noqa: PLC0415   # an extra

    return llama_cpp.llama_log_callback(lambda level, text, data: None)


class _Model:
    """A model and one sequence."""

    def __init__(self, path: Path, positions: int, flash: bool = False) -> None:
        import llama_cpp  # noqa: PLC0415   # an extra

        self._llama = llama_cpp
        llama_cpp.llama_log_set(_silent(), ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        settings = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = positions, _BATCH, _BATCH
        settings.n_seq_max, settings.kv_unified = 2, True   # the second for ``fill``
        settings.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash
            else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED)
        self._context = self._model and llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            sys.exit(f"llama.cpp does not load {path}")
        self._memory = llama_cpp.llama_get_memory(self._context)

    def close(self) -> None:
        """Free the model and its sequence."""
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)

    def threads(self, count: int) -> None:
        """Let ``count`` threads do everything from now on."""
        self._llama.llama_set_n_threads(self._context, count, count)

    def keep(self, tokens: int) -> None:
        """Forget what follows the first ``tokens``."""
        self._llama.llama_memory_seq_rm(self._memory, 0, tokens, -1)

    def fill(self, ids: np.ndarray, context: int) -> None:
        """Let the sequence begin with ``context`` tokens, without computing most of them.

        The keys and values of the first ``_PART`` of ``ids`` are copied by way of a second
        sequence and moved to where they belong; a remainder is computed.
        """
        llama = self._llama
        self.keep(0)
        self.feed(ids[: min(_PART, context)])
        size = llama.llama_state_seq_get_size(self._context, 0)
        state = (ctypes.c_uint8 * size)()
        llama.llama_state_seq_get_data(self._context, state, size, 0)
        for first in range(_PART, context - _PART + 1, _PART):
            if llama.llama_state_seq_set_data(self._context, state, size, 1) != size:
                sys.exit("llama.cpp does not take the state that it gave")
            llama.llama_memory_seq_add(self._memory, 1, 0, -1, first)
            llama.llama_memory_seq_cp(self._memory, 1, 0, -1, -1)
            llama.llama_memory_seq_rm(self._memory, 1, -1, -1)
        filled = llama.llama_memory_seq_pos_max(self._memory, 0) + 1
        self.feed(ids[filled:context])
        filled = llama.llama_memory_seq_pos_max(self._memory, 0) + 1
        if filled != context:
            sys.exit(f"The sequence has {filled} tokens instead of {context}")

    def feed(self, ids: np.ndarray) -> float:
        """Seconds until the logits of the last of ``ids`` are there."""
        started = time.perf_counter()
        for first in range(0, len(ids), _BATCH):
            part = ids[first : first + _BATCH]
            tokens = (ctypes.c_int32 * len(part))(*part.tolist())
            batch = self._llama.llama_batch_get_one(tokens, len(part))
            if self._llama.llama_decode(self._context, batch) != 0:
                sys.exit("llama_decode failed")
        self._llama.llama_synchronize(self._context)
        return time.perf_counter() - started

    def logits(self, vocabulary: int) -> np.ndarray:
        """The logits of the last token, float32 [vocabulary]."""
        place = self._llama.llama_get_logits(self._context)
        return np.ctypeslib.as_array(place, (vocabulary,)).copy()


def measure(
    path: str, vocabulary: int, contexts: list[int], prompts: list[int], threads: list[int],
    steps: int,
) -> dict[str, list[dict[str, Any]]]:
    """Tokens per second after ``contexts``, and of ``prompts``, with each number of ``threads``.

    A decode rate is the median of ``steps`` steps of one token, a prefill rate that of up to three
    runs after one that is not counted; long ones are not repeated. ``flash_attention`` says which
    of the two ways was the faster one.
    """
    ways = [_measure(path, vocabulary, contexts, prompts, threads, steps, flash)
            for flash in (False, True)]
    return {
        stage: [max(rates, key=lambda rate: rate["tokens_per_second"])
                for rates in zip(*(way[stage] for way in ways), strict=True)]
        for stage in ways[0]
    }


def _measure(
    path: str, vocabulary: int, contexts: list[int], prompts: list[int], threads: list[int],
    steps: int, flash: bool,
) -> dict[str, list[dict[str, Any]]]:
    """Do what ``measure`` does, with or without ``flash`` attention."""
    most = max([*(context + _WARM_UP_STEPS + steps for context in contexts), *prompts])
    model = _Model(Path(path), most, flash)
    ids = np.random.default_rng(0).integers(0, vocabulary, most)
    result: dict[str, list[dict[str, Any]]] = {"decode": [], "prefill": []}
    for count in threads:
        model.threads(count)
        for tokens in prompts:
            model.keep(0)

            def prefill(tokens: int = tokens) -> float:
                model.keep(0)
                return model.feed(ids[:tokens])

            seconds = repeated(prefill)
            result["prefill"].append(
                {"tokens": tokens, "threads": count, "tokens_per_second": tokens / seconds,
                 "flash_attention": flash}
            )
    for context in contexts:
        model.threads(max(threads))
        model.fill(ids, context)
        for count in threads:
            model.threads(count)
            times = [
                model.feed(ids[context + step :][:1]) for step in range(_WARM_UP_STEPS + steps)
            ]
            model.keep(context)
            rate = 1 / statistics.median(times[_WARM_UP_STEPS:])
            result["decode"].append(
                {"context": context, "threads": count, "tokens_per_second": rate,
                 "flash_attention": flash}
            )
    model.close()
    return result


def repeated(run: Callable[[], float]) -> float:
    """The median of up to three runs after a first one; of the first alone if that is long."""
    times = [run()]
    while len(times) < 4 and sum(times) < _ENOUGH:
        times.append(run())
    return statistics.median(times[1:] or times)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    Path(given.pop("result")).write_text(json.dumps(measure(**given)))
