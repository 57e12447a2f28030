"""What the accelerator can be told: operations, 64 bytes each. Plain Python.

Addresses and strides are in words of the memory port. ``tokens`` of a step and the ``position`` of
its first one are not in the descriptors but in the accelerator's state: one list serves every step
of a prefill and of decoding.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields

import numpy as np

__all__ = ["DESCRIPTOR_BYTES", "FIELDS", "FLOATS", "Descriptor", "Operation", "Origin", "Post",
           "WeightTile", "describe_operation"]

DESCRIPTOR_BYTES = 64
TILE_BYTES = 16   # of a weight tile's entry
_ZERO = np.float32(0)


class Operation(enum.IntEnum):
    """What a descriptor does with the rows of a step's tokens."""

    END = 0        # the step is done
    EMBED = 1      # rows of the embedding to ``d``
    QUANTIZE = 2   # rows from ``a``, normed by ``b`` if ``norm``, to the activation buffer
    MATMUL = 3     # the activation buffer times the next weight tiles, then ``post``
    ATTEND = 4     # rows of queries from ``a`` over the cache at ``c``, results to ``d``
    HEAD = 5       # the row with the largest logit: the next token


class Post(enum.IntEnum):
    """What becomes of a matmul's outputs."""

    ADD = 0            # plus the rows at ``b``, to ``d``
    ROTATE = 1         # turned by the angles at ``b``, to ``d``
    GATE = 2           # gated (even blocks by odd ones), to ``d``
    KEYS = 3           # turned by the angles at ``b``, quantized, to the cache at ``c``
    VALUES = 4         # quantized, to the cache at ``c``


# Bits of each field, in their order from the lowest bit on.
FIELDS: dict[str, int] = {
    "operation": 4, "post": 4, "norm": 1, "silu": 1, "last_row": 1, "four_bits": 1,
    "digits": 3, "bias": 1,
    "a": 32, "b": 32, "c": 32, "d": 32,
    "a_stride": 24, "b_stride": 24, "d_stride": 24,
    "beats": 16, "passes": 16, "blocks": 16, "tiles": 16, "last_blocks": 16, "row_blocks": 16,
    "region": 24, "tile_words": 16, "chunks": 8, "heads": 8, "group": 8, "head_words": 8,
    "x": 32, "y": 32, "rows": 24, "z": 32,
}
FLOATS = ("x", "y", "z")   # fields that are float32 numbers


@dataclass(frozen=True)
class Descriptor:
    """One operation. What it does not need is 0.

    Parameters
    ----------
    operation, post : Operation, Post
        What to do.
    norm : int
        QUANTIZE norms the rows first (RMSNorm), with the weights at ``b``, ``x`` = float32(1 /
        width) and ``y`` = epsilon. MATMUL norms each head before it is turned, with the weights
        at ``a``, ``z`` = float32(1 / head_dim) and ``y`` = epsilon.
    silu : int
        GATE uses SiLU, not squared ReLU.
    last_row : int
        QUANTIZE takes the last token's row only, for the head. In steps that choose no token, it is
        left out, as HEAD is.
    four_bits : int
        The codes of the vocabulary, which EMBED and HEAD read, have 4 bits, not 8.
    digits : int
        MATMUL: ternary digits of a weight; 0 counts as 1.
    bias : int
        MATMUL adds the float32 numbers at ``a``, one for each row of the matrix, to its outputs.
    a, b, c, d : int
        Addresses: what is read, what is read beside it, the cache (of HEAD and EMBED: the
        vocabulary), where results go. HEAD: ``a`` are the tokens, ``d`` the logits.
    a_stride, b_stride, d_stride : int
        Words from a token's row to the next one's.
    beats : int
        QUANTIZE and EMBED: beats of a row. MATMUL: passes of a group, if there are ``rows``.
    passes : int
        QUANTIZE and MATMUL: passes that the engine makes over the row that is kept or multiplied.
    blocks, tiles, last_blocks : int
        MATMUL: blocks of C rows in a weight tile, tiles, blocks in the last one. QUANTIZE:
        ``blocks`` are the beats of a group of codes; 0: the row is one.
    row_blocks : int
        MATMUL: blocks of a head.
    region, tile_words, chunks : int
        ATTEND and MATMUL: words of the cache from a KV head to the next, words of its tile, and
        head_dim / chunk. EMBED and HEAD: ``region`` and ``tile_words`` are the words of a group,
        and of a row, of ``VocabularyLayout``.
    heads, group, head_words : int
        ATTEND: KV heads, query heads of each, words of a head of float32 numbers. MATMUL, where
        outputs are heads: ``heads`` are those of a tile, and ``group`` those of the last tile.
    x, y : np.float32
        QUANTIZE: what ``norm`` says. MATMUL: scales of even and odd blocks. ATTEND: ``x`` is
        float32(1 / sqrt(head_dim)).
    rows : int
        HEAD: size of the vocabulary. MATMUL: groups of a row of the matrix, each with a scale of
        its own in the weight tiles; 0: ``x`` and ``y`` are the scales.
    z : np.float32
        MATMUL: what ``norm`` says.
    """

    operation: Operation
    post: Post = Post.ADD
    norm: int = 0
    silu: int = 0
    last_row: int = 0
    four_bits: int = 0
    digits: int = 0
    bias: int = 0
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    a_stride: int = 0
    b_stride: int = 0
    d_stride: int = 0
    beats: int = 0
    passes: int = 0
    blocks: int = 0
    tiles: int = 0
    last_blocks: int = 0
    row_blocks: int = 0
    region: int = 0
    tile_words: int = 0
    chunks: int = 0
    heads: int = 0
    group: int = 0
    head_words: int = 0
    x: np.float32 = _ZERO
    y: np.float32 = _ZERO
    rows: int = 0
    z: np.float32 = _ZERO

    def pack(self) -> bytes:
        """The descriptor's bytes. Raises ``ValueError`` if a value does not fit its field."""
        bits = place = 0
        for field in fields(self):
            value, width = getattr(self, field.name), FIELDS[field.name]
            number = int(np.float32(value).view(np.uint32)) if field.name in FLOATS else int(value)
            if not 0 <= number < 1 << width:
                raise ValueError(f"Descriptor {self.operation.name}: {field.name} = {value} does "
                                 f"not fit {width} bits")
            bits |= number << place
            place += width
        return bits.to_bytes(DESCRIPTOR_BYTES, "little")


@dataclass(frozen=True)
class Origin:
    """What a descriptor is there for: an operator of the model, and its layer.

    ``operator`` is a name such as ``embedding``, ``q_proj``, ``attention``, ``lm_head``, or ``end``
    of the descriptor that ends a step. ``layer`` is None outside of the layers. The accelerator
    does not see it.
    """

    operator: str
    layer: int | None = None


@dataclass(frozen=True)
class WeightTile:
    """Words of a weight tile's image, and the beats that they give.

    ``scales``: beats of the scales that it begins with, in whole words; ``beats`` are of the
    weights behind them.
    """

    word: int
    words: int
    beats: int
    scales: int = 0

    def pack(self) -> bytes:
        """16 bytes: four 32-bit numbers."""
        return np.array([self.word, self.words, self.beats, self.scales], "<u4").tobytes()


def describe_operation(descriptor: int) -> str:
    """The operation of a descriptor, as far as it has one."""
    operation, post = descriptor & 15, descriptor >> 4 & 15
    if operation not in set(Operation):
        return f"operation {operation}"
    name = Operation(operation).name
    if operation == Operation.MATMUL and post in set(Post):
        return f"{name} {Post(post).name}"
    return name
