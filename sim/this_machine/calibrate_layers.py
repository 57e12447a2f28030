"""What a decoder layer of the runtime takes beside its matmuls: attention and elementwise work.

Before every timed call a block of memory is read, as a decode step reads weights: then neither keys
nor the interpreter's own data are in the CPU's caches, and small calls take more than twice as
long. A model that lies in the caches reads nothing from memory, so a smaller layer is timed call
after call. Attention has an int8 cache: one token after many earlier ones, and whole prompts.
Elementwise work is a whole ``DecoderLayer`` whose linears and cache give prepared arrays: norms,
gate, residual, and the calls themselves. What is around the layers (embedding, last norm, head,
choice of a token) is what two small models, of one layer and of two, leave for none. The quantizing
of activations is a part of the runtime's linears, the rotary embedding one of its attention.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ...model import LINEAR_NAMES, ModelConfig
from ...numerics import rope_tables
from ...quant.formats import Int8
from ...runtime.decoder import Decoder
from ...runtime.kv_cache.cache import make_cache
from ...runtime.layer import DecoderLayer
from ...runtime.random_weights import random_weights
from ...runtime.rope import Rotations
from ...runtime.timing import time_decode
from ..descriptions.soc import in_cache
from .read_memory import read_words

__all__ = [
    "ATTENTION",
    "ELEMENTWISE",
    "PROMPT_ATTENTION",
    "STEP",
    "LayerRate",
    "attention_operations",
    "attention_rates",
    "elementwise_elements",
    "elementwise_rates",
    "step_rate",
]

ATTENTION, PROMPT_ATTENTION, ELEMENTWISE = "attention", "prompt attention", "elementwise"
STEP = "step"   # everything outside of the layers
CONTEXTS = (16, 128, 512, 2048)    # buckets of attention: positions that one token sees
PROMPTS = (16, 128, 512)           # buckets of a prompt's attention: its tokens
TOKENS = (1, 16, 128)              # buckets of elementwise work
_HEADS, _HEAD_DIM = 16, 128
_LAYERS = 16                       # caches that the timed calls go round
_HIDDEN, _INTERMEDIATE = 2048, 5632
_CACHED = {"hidden_size": 512, "intermediate_size": 1408, "num_heads": 8, "num_kv_heads": 8,
           "head_dim": 64}         # of a layer that caches hold
_SMALL = {"hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "num_kv_heads": 2,
          "head_dim": 32}
_FLUSHED = 1 << 22                 # bytes that are read before a call: about a weight of a layer,
_PARTS = 32                        # of so many, one after the other: what is cold stays cold
_ROUNDS = 5
_STEPS = 64                        # of the models that are timed whole


@dataclass(frozen=True)
class LayerRate:
    """Operations of ``operator`` per second by bucket, slowest, median and fastest.

    ``precision``: int8 for attention, the activation for elementwise work, whose operations are
    elements. ``start``: seconds of a call with next to no work, which rates do not include.
    """

    operator: str
    precision: str
    rates: dict[int, tuple[float, float, float]]
    start: float


def attention_operations(config: ModelConfig, pairs: int) -> int:
    """Operations of a layer with ``pairs`` pairs of query and visible key: two for each product."""
    return 4 * config.num_heads * config.head_dim * pairs


def elementwise_elements(config: ModelConfig) -> int:
    """Elements of a layer's norms, gate and residual adds, per token."""
    heads, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    norms_and_adds = len(config.layer_norms.names) + 2
    elements = norms_and_adds * config.hidden_size + config.intermediate_size
    if config.sub_norm:
        elements += heads + config.intermediate_size
    if config.qk_norm:
        elements += heads + kv
    return elements


def attention_rates(cached: bool) -> list[LayerRate]:
    """Rates of decode steps and of prompts, out of memory or out of the cache."""
    small = _Attention(_config(changes=_SMALL), 1)
    start = statistics.median(_times([small.layer(0)] * _LAYERS, cached))
    config = _config(changes=_CACHED) if cached else _config()
    found = []
    for operator, buckets in ((ATTENTION, CONTEXTS), (PROMPT_ATTENTION, PROMPTS)):
        rates = {}
        for count in buckets:
            alone = operator == ATTENTION
            timed = _Attention(config, 1 if alone else count, count - 1 if alone else 0)
            pairs = count if alone else count * (count + 1) // 2
            operations = attention_operations(config, pairs)
            calls = [timed.layer(0 if cached else layer) for layer in range(_LAYERS)]
            rates[count] = _spread(operations, _times(calls, cached), start)
        found.append(LayerRate(_named(operator, cached), "int8", rates, start))
    return found


def elementwise_rates(cached: bool) -> list[LayerRate]:
    """The rate of each activation function, with its data in memory or in the cache."""
    found = []
    activations: tuple[Literal["silu", "relu2"], ...] = ("silu", "relu2")
    for activation in activations:
        small = _elementwise(_config(activation, _SMALL), 1)
        start = statistics.median(_times([small] * _LAYERS, cached))
        config = _config(activation, _CACHED if cached else {})
        elements = elementwise_elements(config)
        rates = {
            tokens: _spread(tokens * elements,
                            _times([_elementwise(config, tokens)] * _LAYERS, cached), start)
            for tokens in TOKENS
        }
        found.append(LayerRate(_named(ELEMENTWISE, cached), activation, rates, start))
    return found


def step_rate() -> LayerRate:
    """A decode step without layers; it is one operation."""
    one, two = (Decoder(replace(_config(changes=_SMALL), num_layers=layers),
                        random_weights(_config(changes=_SMALL), Int8())) for layers in (1, 2))
    times = []
    for _ in range(_ROUNDS):
        with_one, with_two = (time_decode(decoder, "int8", CONTEXTS[0], _STEPS).step
                              for decoder in (one, two))
        times.append(max(2 * with_one - with_two, 0.1 * with_one))
    return LayerRate(STEP, "int8", {1: _spread(1, times, 0.0)}, 0.0)


def _named(operator: str, cached: bool) -> str:
    return in_cache(operator) if cached else operator


def _config(
    activation: Literal["silu", "relu2"] = "silu", changes: Mapping[str, int] = MappingProxyType({})
) -> ModelConfig:
    """A layer with norms before ``o_proj`` and ``down_proj``, to time."""
    shape: dict[str, Any] = {
        "hidden_size": _HIDDEN, "intermediate_size": _INTERMEDIATE, "num_heads": _HEADS,
        "num_kv_heads": _HEADS, "head_dim": _HEAD_DIM, **changes}
    return ModelConfig(
        family="bitnet", num_layers=_LAYERS, vocab_size=64, max_position_embeddings=4096,
        rms_norm_eps=1e-5, rope_theta=1e4, activation=activation, sub_norm=True, **shape,
    )


class _Attention:
    """``tokens`` tokens after ``start`` random ones, in every layer of a cache."""

    def __init__(self, config: ModelConfig, tokens: int, start: int = 0) -> None:
        self._start = start
        self._cache = make_cache("int8", config, start + tokens)
        generator = np.random.default_rng(0)
        kv = (config.num_kv_heads, config.head_dim)
        for layer in range(config.num_layers if start else 0):
            keys, values = (generator.standard_normal((start, *kv), np.float32) for _ in range(2))
            self._cache.store(layer, 0, keys, values)
        self._queries = generator.standard_normal(
            (tokens, config.num_heads, config.head_dim), np.float32)
        self._keys = generator.standard_normal((tokens, *kv), np.float32)
        self._values = generator.standard_normal((tokens, *kv), np.float32)
        self._rope = rope_tables(config, np.arange(start, start + tokens))

    def layer(self, layer: int) -> Callable[[], object]:
        """One layer's attention."""
        return lambda: self._cache.append_and_attend(
            layer, self._start, self._queries, self._keys, self._values, *self._rope, None)


class _Prepared:
    """A cache that attends to nothing and gives the same array each time."""

    def __init__(self, attended: np.ndarray) -> None:
        self._attended = attended

    def append_and_attend(self, *_: object) -> np.ndarray:
        """The array."""
        return self._attended


def _elementwise(config: ModelConfig, tokens: int) -> Callable[[], object]:
    """A layer without its matmuls and attention."""
    generator = np.random.default_rng(0)
    layer = DecoderLayer(config, 0)
    layer.load_norms(random_weights(config, Int8()))
    for name in LINEAR_NAMES:
        given = generator.standard_normal((tokens, config.linear_shape(name)[0]), np.float32)
        layer.linears[name] = _given(given)
    x = generator.standard_normal((tokens, config.hidden_size), np.float32)
    heads = (tokens, config.num_heads, config.head_dim)
    cache: Any = _Prepared(generator.standard_normal(heads, np.float32))
    rope = Rotations(*rope_tables(config, np.arange(tokens)))
    return lambda: layer.forward(x, cache, 0, rope)


def _given(output: np.ndarray) -> Any:
    """What stands for a linear, and gives ``output`` each time."""
    return lambda _: output


def _times(calls: list[Callable[[], object]], cached: bool) -> list[float]:
    """Seconds of a call, the mean over ``calls``, of each round after one that does not count.

    Nothing is read between the calls if what they need is to be ``cached``.
    """
    words = np.ones((_PARTS, _FLUSHED // 8), np.int64)
    part = itertools.cycle(words)
    times = []
    for _ in range(_ROUNDS + 1):
        total = 0.0
        for call in calls:
            if not cached:   # by all threads, which are awake after it, as after a matmul
                read_words(next(part))
            began = time.perf_counter()
            call()
            total += time.perf_counter() - began
        times.append(total / len(calls))
    return times[1:]


def _spread(
    operations: int, times: Iterable[float], start: float
) -> tuple[float, float, float]:
    """Rates without ``start``; of a call that is nearly all start, those of a tenth of it."""
    ordered = sorted(operations / max(seconds - start, 0.1 * seconds) for seconds in times)
    return ordered[0], statistics.median(ordered), ordered[-1]
