"""How engines store a model's weights: bits of every matrix, by the name that its files have.

The names of GGUF files (``q4_k_m``) stand for a mixture: some matrices get more bits, and the head
others than the layers. The mixtures are those of llama.cpp's ``llama-quantize``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import EstimateError
from ...model import LINEAR_NAMES, ModelConfig
from ..descriptions.shapes import ExpertLayers

__all__ = ["StoredFormat", "format_names", "stored_format"]

# Bits per weight of a type, its scales included: bytes of a block over its weights.
_BITS = {
    "f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q6_k": 6.5625, "q5_k": 5.5, "q5_1": 6,
    "q5_0": 5.5, "q4_k": 4.5, "q4_1": 5, "q4_0": 4.5, "iq4_nl": 4.5, "q3_k": 3.4375, "q2_k": 2.625,
    "tq2_0": 2.0625, "tq1_0": 1.6875,
    "int8": 8, "int4": 4, "int4 in groups of 128": 4.125, "int2 in groups of 128": 2.125,
    "ternary in 2 bits": 2, "i2_s": 2, "mxfp4": 4.25, "int4 in groups of 32, float32 scales": 5,
    "int4 in groups of 128, float32 scales": 4.25,
}
# Blocks of 256 weights, and what takes their place in rows that are no multiple of that.
_NARROW = {"q6_k": "q8_0", "q5_k": "q5_1", "q4_k": "q5_0", "q3_k": "iq4_nl", "q2_k": "iq4_nl",
           "tq2_0": "q4_0", "tq1_0": "q4_0"}
_BLOCK = 256
_FEWEST = 4   # bits per weight, below which unpacking takes tables or several planes
_VALUES_AND_DOWN = ("self_attn.v_proj", "mlp.down_proj")


@dataclass(frozen=True)
class StoredFormat:
    """Types of a model's matrices.

    ``matrices``: of the layers', where it is not in ``others``; ``more``: of ``v_proj`` and
    ``down_proj`` in the layers that get more bits. ``head`` is also the type of an embedding that
    is the head too, ``embedding`` of one that is not. ``separate``: the embedding is stored beside
    the head even where a model ties them. ``precision``: of the activations that are multiplied.
    """

    name: str
    matrices: str
    head: str
    embedding: str
    precision: str = "int8"
    more: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    separate: bool = False

    @property
    def weight_class(self) -> str:
        """What kernels of the layers' matrices have in common: their unpacking, and their bits."""
        bits = _BITS[self.matrices]
        if bits >= 16:
            return "float"
        if bits < _FEWEST:
            return "few bits"
        if self.matrices.endswith("_k"):
            return "k-quants"
        return "int8" if bits >= 8 else "int4"

    def matrix_bytes(self, config: ModelConfig, name: str,
                     shape: tuple[int, int] | None = None) -> int:
        """Bytes of one of ``LINEAR_NAMES`` (or of another ``shape``), a mean over the layers."""
        layers = config.num_layers
        many = sum(_gets_more(layer, layers) for layer in range(layers)) if (
            self.more and name in _VALUES_AND_DOWN) else 0
        usual = self.others.get(name, self.matrices)
        shape = shape or config.linear_shape(name)
        each = (_bytes(shape, self.more or usual), _bytes(shape, usual))
        return round((many * each[0] + (layers - many) * each[1]) / layers)

    def head_bytes(self, config: ModelConfig) -> int:
        """Bytes of the head."""
        return round(_bytes((config.vocab_size, config.hidden_size), self.head))

    def row_bytes(self, config: ModelConfig) -> int:
        """Bytes of one token's embedding."""
        kind = self.head if self._is_shared(config) else self.embedding
        return round(_bytes((1, config.hidden_size), kind))

    def model_bytes(self, config: ModelConfig, experts: ExpertLayers | None = None) -> int:
        """Bytes of all weights, norms and routers in float32 included."""
        matrices = config.num_layers * sum(
            self.matrix_bytes(config, name) if experts is None or not name.startswith("mlp.")
            else experts.count * self.matrix_bytes(config, name, experts.shape(config, name))
            for name in LINEAR_NAMES)
        if experts is not None:
            matrices += 4 * config.num_layers * experts.count * config.hidden_size
        vectors = sum(shape[0] for shape in config.tensor_shapes().values() if len(shape) == 1)
        embedding = 0 if self._is_shared(config) else (
            config.vocab_size * self.row_bytes(config))
        return matrices + self.head_bytes(config) + embedding + 4 * vectors

    def _is_shared(self, config: ModelConfig) -> bool:
        return config.tie_word_embeddings and not self.separate


def _bytes(shape: tuple[int, int], kind: str) -> float:
    rows, columns = shape
    if kind in _NARROW and columns % _BLOCK:
        kind = _NARROW[kind]
    return rows * columns * _BITS[kind] / 8


def _gets_more(layer: int, layers: int) -> bool:
    """llama.cpp's ``use_more_bits``: the first and the last eighth, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _whole(name: str, precision: str = "int8") -> StoredFormat:
    return StoredFormat(name, name, name, name, precision)


_FORMATS = {known.name: known for known in (
    _whole("f32", "float16"), _whole("f16", "float16"), _whole("bf16", "float16"), _whole("q8_0"),
    *(StoredFormat(name, name, "q6_k", name)
      for name in ("q6_k", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "tq2_0", "tq1_0")),
    StoredFormat("q5_k_m", "q5_k", "q6_k", "q5_k", more="q6_k"),
    StoredFormat("q4_k_m", "q4_k", "q6_k", "q4_k", more="q6_k"),
    StoredFormat("q2_k", "q2_k", "q6_k", "q2_k", others={
        "self_attn.v_proj": "q3_k", "self_attn.o_proj": "q3_k", "mlp.down_proj": "q3_k"}),
    StoredFormat("w8a8", "int8", "int8", "f16", separate=True),
    StoredFormat("w4a16", "int4", "int4", "f16", separate=True),
    StoredFormat("8da4w", "int4 in groups of 32, float32 scales", "int8", "int8", separate=True),
    StoredFormat("8da4w_g128", "int4 in groups of 128, float32 scales",
                 "int4 in groups of 128, float32 scales", "int4 in groups of 32, float32 scales",
                 separate=True),
    StoredFormat("i2_s", "i2_s", "f16", "f16"),
    StoredFormat("mxfp4", "mxfp4", "q8_0", "q8_0", others={
        "self_attn.q_proj": "q8_0", "self_attn.k_proj": "q8_0", "self_attn.v_proj": "q8_0",
        "self_attn.o_proj": "q8_0"}),
    StoredFormat("ternary", "ternary in 2 bits", "int8", "int8"),
    StoredFormat("ternary-group", "int2 in groups of 128", "int2 in groups of 128",
                 "int2 in groups of 128"),
    StoredFormat("int4", "int4 in groups of 128", "int8", "int8"),
    StoredFormat("int8", "int8", "int8", "int8"),
)}


def format_names() -> list[str]:
    """What ``stored_format`` takes."""
    return list(_FORMATS)


def stored_format(name: str) -> StoredFormat:
    """The format of that name, in capitals or not.

    Raises
    ------
    EstimateError
        There is none.
    """
    found = _FORMATS.get(name.lower())
    if found is None:
        raise EstimateError(f"There is no stored format {name!r}; known are "
                            f"{', '.join(format_names())}")
    return found
