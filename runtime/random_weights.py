"""Random weights of any shape and format, made packed: to time a model that one does not have."""

from __future__ import annotations

import math
import zlib

import numpy as np

from ..errors import TrilobiteError
from ..model import ModelConfig
from ..quant.formats import Int8
from ..quant.formats.base import Format, PackedWeight
from .layer import Weights

__all__ = ["packed_matrix", "random_weights"]

# So many rows are drawn and quantized; the rows of a weight are a random choice of them. A float32
# matrix of the whole weight, which would not fit beside a large model, never exists.
_DRAWN_ROWS = 256


def random_weights(config: ModelConfig, form: Format, seed: int = 0,
                   vocabulary: Format | None = None) -> Weights:
    """The tensors of ``config``: linears in ``form``, norms near 1, routers float32.

    Embedding and head are in ``vocabulary``; None: INT8.

    Linears are normal with variance 1 / K before they are quantized, so activations keep their
    size through the layers. The same seed gives the same model in any order of requests.

    Raises
    ------
    FormatError
        A weight's shape does not fit its format; all are checked before the first is made.
    TrilobiteError
        The seed is negative.
    """
    if seed < 0:
        raise TrilobiteError(f"The seed must be 0 or a positive integer, not {seed}")
    vocabulary = vocabulary or Int8()
    shapes = config.tensor_shapes()
    linears = set(config.linear_weights())
    matrices = {name: form if name in linears else vocabulary
                for name, shape in shapes.items() if len(shape) == 2 and not _is_router(name)}
    for name, own in matrices.items():
        own.check(name.removeprefix("model.layers.0.").removesuffix(".weight"), shapes[name])

    def weight(name: str) -> np.ndarray | PackedWeight:
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        shape = shapes[name]
        if name in matrices:
            return packed_matrix((shape[0], shape[1]), matrices[name], generator)
        if _is_router(name):
            drawn = generator.standard_normal(shape, np.float32)
            return drawn / np.float32(math.sqrt(shape[-1]))
        spread = 0.1 * generator.standard_normal(shape, np.float32)
        return spread if name.endswith(".bias") else 1 + spread

    return weight


def _is_router(name: str) -> bool:
    return name.endswith(".mlp.gate.weight")


def packed_matrix(
    shape: tuple[int, int], form: Format, generator: np.random.Generator
) -> PackedWeight:
    """A random [M, K] weight in ``form``: normal with variance 1 / K before it is quantized."""
    M, K = shape
    drawn = generator.standard_normal((min(M, _DRAWN_ROWS), K), np.float32)
    drawn *= np.float32(1 / math.sqrt(K))
    packed = form.quantize(drawn)
    chosen = generator.integers(0, len(drawn), M)
    layout = form.layout(shape)
    tensors = {
        suffix: tensor[chosen] if layout[suffix].per_row else tensor
        for suffix, tensor in packed.tensors.items()
    }
    return PackedWeight(form, shape, tensors)
