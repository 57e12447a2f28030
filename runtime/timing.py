"""How fast a decoder runs: decode steps and prefills, and where a step's time goes."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TrilobiteError
from ..tools.compiled import config, numba
from .decoder import Decoder
from .kv_cache.cache import KVKind
from .language_model import Session
from .sampling import Sampler

__all__ = ["WARM_UP_STEPS", "DecodeTime", "PrefillTime", "memory", "threads", "time_decode",
           "time_prefill"]

WARM_UP_STEPS = 3
_ENOUGH = 6.0   # seconds of prefills
_STAGES = ("matmul", "attention", "head")


@dataclass(frozen=True)
class DecodeTime:
    """Seconds of a decode step with ``context`` earlier tokens: the median of ``steps`` steps.

    ``matmul``, ``attention``, ``head`` and ``rest`` add up to ``step``; their shares come from as
    many further steps, run with a clock around each. ``read_bytes`` is what a step reads at least:
    all weights once, and the keys and values.
    """

    context: int
    threads: int
    steps: int
    step: float
    matmul: float
    attention: float
    head: float
    rest: float
    read_bytes: int

    @property
    def tokens_per_second(self) -> float:
        """Decode rate."""
        return 1 / self.step

    @property
    def bytes_per_second(self) -> float:
        """``read_bytes`` over the time of a step."""
        return self.read_bytes / self.step


@dataclass(frozen=True)
class PrefillTime:
    """Seconds from ``tokens`` prompt tokens to the logits of the last: the median of ``runs``."""

    tokens: int
    threads: int
    runs: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Prefill rate."""
        return self.tokens / self.seconds


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run the block with ``count`` threads.

    Raises ``TrilobiteError`` if there are not as many (``NUMBA_NUM_THREADS`` sets the limit).
    """
    most = config.NUMBA_NUM_THREADS
    if not 1 <= count <= most:
        raise TrilobiteError(f"{count} threads are asked for; 1 to {most} can run here")
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def memory() -> tuple[int, int]:
    """Bytes of this process in memory: now, and at most so far; (0, 0) where Linux does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0, 0
    sizes = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, most = (1024 * int(sizes[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return now, most


def time_decode(decoder: Decoder, kv: KVKind, context: int, steps: int) -> DecodeTime:
    """Time decode steps, greedy choice included, after ``context`` random tokens.

    Raises ``TrilobiteError`` if the model has not enough positions.
    """
    session = _filled_session(decoder, kv, context, WARM_UP_STEPS + steps)
    step = statistics.median(_step_times(session, context, WARM_UP_STEPS + steps)[WARM_UP_STEPS:])
    with _clocked(decoder, session) as clocks:
        whole = sum(_step_times(session, context, steps))
    seconds = {stage: clocks[stage] / whole * step for stage in _STAGES}
    rest = step - sum(seconds.values())
    read = decoder.step_nbytes + session.cache.nbytes * context // session.capacity
    return DecodeTime(context, numba.get_num_threads(), steps, step, **seconds, rest=rest,
                      read_bytes=read)


def time_prefill(
    decoder: Decoder, kv: KVKind, tokens: int, runs: int, warm_up: int = 1
) -> PrefillTime:
    """Time ``runs`` prefills of ``tokens`` random tokens, after ``warm_up`` that do not count.

    Six seconds of them are enough: there is no further run then, and if there was none but those
    that do not count, the last of these does.

    Raises ``TrilobiteError`` if the model has not enough positions.
    """
    ids = np.random.default_rng(0).integers(0, decoder.config.vocab_size, tokens).tolist()
    times: list[float] = []
    while len(times) < warm_up + runs and sum(times) < _ENOUGH:
        session = Session(decoder, kv, tokens)
        began = time.perf_counter()
        session.prefill(ids)
        times.append(time.perf_counter() - began)
    counted = times[warm_up:] or times[-1:]
    return PrefillTime(
        tokens, numba.get_num_threads(), len(counted), statistics.median(counted)
    )


def _filled_session(decoder: Decoder, kv: KVKind, context: int, more: int) -> Session:
    """A session whose cache holds ``context`` random keys and values, with room for ``more``."""
    config = decoder.config
    session = Session(decoder, kv, context + more)
    generator = np.random.default_rng(0)
    shape = (context, config.num_kv_heads, config.head_dim)
    for layer in range(config.num_layers):
        keys, values = (generator.standard_normal(shape, np.float32) for _ in range(2))
        session.cache.store(layer, 0, keys, values)
    return session


def _step_times(session: Session, context: int, steps: int) -> list[float]:
    """Seconds of each of ``steps`` decode steps, the first of them after ``context`` tokens."""
    session.skip_to(context)
    sampler, token_id = Sampler(), 0
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        token_id = sampler(session.feed([token_id])[0])
        times.append(time.perf_counter() - began)
    return times


class _Clocked:
    """A callable with a clock around it."""

    def __init__(self, call: Callable[..., Any], clocks: dict[str, float], stage: str) -> None:
        self._call, self._clocks, self._stage = call, clocks, stage

    def __call__(self, *arguments: Any) -> Any:
        began = time.perf_counter()
        result = self._call(*arguments)
        self._clocks[self._stage] += time.perf_counter() - began
        return result


@contextmanager
def _clocked(decoder: Decoder, session: Session) -> Iterator[dict[str, float]]:
    """Seconds by stage, as they add up while the block runs."""
    clocks: dict[str, float] = defaultdict(float)
    linears = [dict(layer.linears) for layer in decoder.layers]
    head, attend = decoder.head, session.cache.append_and_attend

    def clocked(call: Callable[..., Any], stage: str) -> Any:
        return _Clocked(call, clocks, stage)

    for layer, held in zip(decoder.layers, linears, strict=True):
        layer.linears.update({name: clocked(linear, "matmul") for name, linear in held.items()})
    decoder.head = clocked(head, "head")
    setattr(session.cache, "append_and_attend", clocked(attend, "attention"))  # noqa: B010   a method
    try:
        yield clocks
    finally:
        for layer, held in zip(decoder.layers, linears, strict=True):
            layer.linears.update(held)
        decoder.head = head
        del session.cache.append_and_attend   # and no cycle keeps the cache in memory
