"""Static scales of key channels: made equal before they are quantized, undone in the query.

Keys have channels that are far larger than the others, and a scale per head and token leaves the
others few bits. A channel c of a key is multiplied by f[c] before it is stored, the query's by
1 / f[c], and their product stays. Channels j and j + head_dim / 2 turn into each other with the
position, so what is measured is the length of the pair, which no position changes: a maximum over a
short text holds for a long one. The rule is FireQ's (arXiv 2505.20839): f = alpha / max length of
the pair; of the ``top`` channels with the largest |k| after the rotation, and their partners,
f = beta / max |k| instead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from ...model import ModelConfig
from ...numerics import flush_array
from ...quant.checkpoint.files.safetensors_file import SafetensorsFile
from ...quant.output.safetensors_writer import SafetensorsWriter, TensorEntry
from ..kernels.attention.key_bias import BiasScores
from .cache import KVCache
from .steps import CacheSteps

__all__ = ["KeyRecorder", "ScaledKeys", "key_factors", "read_factors", "write_factors"]

ALPHA = BETA = 8.0
TOP = 8
_SMALLEST = 1e-5   # of a measured magnitude, as of activations


class KeyRecorder(CacheSteps):
    """A KV cache that passes everything on to ``cache`` and remembers how large keys were."""

    def __init__(self, config: ModelConfig, cache: KVCache) -> None:
        self.capacity = cache.capacity
        self._cache = cache
        shape = (config.num_layers, config.num_kv_heads, config.head_dim)
        self.absmax = np.zeros(shape, np.float32)
        self.radius = np.zeros((*shape[:2], config.head_dim // 2), np.float32)

    @property
    def nbytes(self) -> int:
        """Memory taken by the cache."""
        return self._cache.nbytes

    @override
    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        half = keys.shape[2] // 2
        radius = np.hypot(keys[:, :, :half], keys[:, :, half:]).max(axis=0)
        np.maximum(self.radius[layer], radius, out=self.radius[layer])
        np.maximum(self.absmax[layer], np.abs(keys).max(axis=0), out=self.absmax[layer])
        self._cache.store(layer, start, keys, values)

    @override
    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        return self._cache.attend(layer, start, queries, window, sinks, bias)


def key_factors(recorder: KeyRecorder) -> np.ndarray:
    """The f of every key channel, float32 [layers, kv_heads, head_dim], by the rule above."""
    both = np.concatenate([recorder.radius, recorder.radius], axis=2)
    factors = ALPHA / np.maximum(both, _SMALLEST)
    half = recorder.radius.shape[2]
    width = 2 * half
    top = np.argsort(-recorder.absmax, axis=2, kind="stable")[:, :, : min(TOP, half)]
    for layer, head in np.ndindex(top.shape[:2]):
        channels = top[layer, head]
        channels = np.unique(np.concatenate([channels, (channels + half) % width]))
        largest = np.maximum(recorder.absmax[layer, head, channels], _SMALLEST)
        factors[layer, head, channels] = BETA / largest
    return factors.astype(np.float32)


class ScaledKeys(CacheSteps):
    """A KV cache whose keys are multiplied by ``factors`` and its queries by their inverses.

    Both products are ``numerics.mul``; the inverse is float32(1 / f), rounded once.
    """

    def __init__(self, cache: KVCache, factors: np.ndarray) -> None:
        self.capacity = cache.capacity
        self._cache = cache
        self._factors = factors
        self._inverses = np.float32(1) / factors

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self._cache.nbytes + self._factors.nbytes + self._inverses.nbytes

    @override
    def store(self, layer: int, start: int, keys: np.ndarray, values: np.ndarray) -> None:
        self._cache.store(layer, start, flush_array(keys * self._factors[layer]), values)

    @override
    def attend(
        self, layer: int, start: int, queries: np.ndarray, window: int | None,
        sinks: np.ndarray | None = None, bias: BiasScores | None = None,
    ) -> np.ndarray:
        share = queries.shape[1] // self._inverses.shape[1]
        inverses = np.repeat(self._inverses[layer], share, axis=0)
        scaled = flush_array(queries * inverses)
        return self._cache.attend(layer, start, scaled, window, sinks, bias)


def _name(layer: int) -> str:
    return f"model.layers.{layer}.self_attn.key_factors"


def write_factors(path: Path, factors: np.ndarray, there: bool = False) -> None:
    """Write [layers, kv_heads, head_dim] as a safetensors file, a tensor per layer.

    ``there``: an empty file ``path`` is there already, of an ``OutputFile``.
    """
    entries = {_name(layer): TensorEntry("F32", one.shape) for layer, one in enumerate(factors)}
    with SafetensorsWriter(path, entries, resume=there) as writer:
        for layer, one in enumerate(factors):
            writer.append(_name(layer), one)


def read_factors(path: Path, config: ModelConfig) -> np.ndarray:
    """The file of ``write_factors`` for a model.

    Raises
    ------
    CheckpointError
        The file cannot be read, or is not of this model: a layer is missing, has another shape, or
        a factor that is not a number between 2^-60 and 2^60.
    """
    shape = (config.num_kv_heads, config.head_dim)
    names = [_name(layer) for layer in range(config.num_layers)]
    with SafetensorsFile(path) as file:
        if set(file.tensors) != set(names):
            raise CheckpointError(f"{path} does not hold the key factors of {len(names)} layers")
        factors = np.empty((len(names), *shape), np.float32)
        for layer, name in enumerate(names):
            stored = file.tensors[name]
            if (stored.dtype, stored.shape) != ("F32", shape):
                raise CheckpointError(
                    f"{path}: {name} is {stored.dtype} {list(stored.shape)}; the model calls for "
                    f"F32 {list(shape)}"
                )
            factors[layer] = file.read(name)
    if not ((factors >= 2.0**-60) & (factors <= 2.0**60)).all():
        raise CheckpointError(f"{path}: a key factor is not a number between 2^-60 and 2^60")
    return factors
