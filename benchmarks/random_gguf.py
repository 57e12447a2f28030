"""Writes a GGUF file with random weights of any shape, for llama.cpp to be timed with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Shape", "olmoe", "write"]

_DRAWN_ROWS = 256    # so many rows are drawn and quantized; a weight is a random choice of them
_Q6_K_BLOCK, _Q6_K_BYTES = 256, 210
_Q6_K_SCALE = np.float16(1e-4)   # its last two bytes
_CONTEXT = 4096


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama decoder; ``tied`` says that the embedding is the head too.

    With ``experts``, of which a token goes to ``chosen``, it is an OLMoE.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    rope_theta: float
    tied: bool
    experts: int = 0
    chosen: int = 0

    def linears(self, layer: int) -> Iterator[tuple[str, int, int]]:
        """Name, M and K of every linear of a layer; M of all experts together."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        suffix, count = ("_exps", self.experts) if self.experts else ("", 1)
        for name, M, K in (
            ("attn_q", queries, self.hidden),
            ("attn_k", keys, self.hidden),
            ("attn_v", keys, self.hidden),
            ("attn_output", self.hidden, queries),
            (f"ffn_gate{suffix}", count * self.intermediate, self.hidden),
            (f"ffn_up{suffix}", count * self.intermediate, self.hidden),
            (f"ffn_down{suffix}", count * self.hidden, self.intermediate),
        ):
            yield f"blk.{layer}.{name}.weight", M, K

    def norms(self) -> Iterator[str]:
        """Names of the norms' weights, of ``hidden`` numbers each."""
        yield "output_norm.weight"
        for layer in range(self.layers):
            yield f"blk.{layer}.attn_norm.weight"
            yield f"blk.{layer}.ffn_norm.weight"
            if self.experts:
                yield f"blk.{layer}.attn_q_norm.weight"
                yield f"blk.{layer}.attn_k_norm.weight"


def olmoe(layers: int) -> Shape:
    """OLMoE-1B-7B, with as many ``layers`` as are asked for; it has 16."""
    return Shape(layers, 2048, 1024, 16, 16, 128, 50304, 1e4, tied=False, experts=64, chosen=8)


def write(path: Path, shape: Shape, kind: str) -> None:
    """Write weights of ``shape`` with linears in ``kind``, as "TQ2_0" or "Q4_0".

    Embedding and head are Q6_K, as llama.cpp's own quantization leaves them. K is a multiple of
    256. Weights are written one by one; only one of them is in memory.
    """
    import gguf

    linear = gguf.GGMLQuantizationType[kind]
    q6_k, float32 = gguf.GGMLQuantizationType.Q6_K, gguf.GGMLQuantizationType.F32
    tables = ["token_embd.weight"] + ([] if shape.tied else ["output.weight"])
    tensors = [(name, (shape.hidden,), float32) for name in shape.norms()]
    tensors += [(name, (shape.vocabulary, shape.hidden), q6_k) for name in tables]
    if shape.experts:
        tensors += [(f"blk.{layer}.ffn_gate_inp.weight", (shape.experts, shape.hidden), float32)
                    for layer in range(shape.layers)]
    tensors += [
        (name, (shape.experts, M // shape.experts, K) if "_exps" in name else (M, K), linear)
        for layer in range(shape.layers) for name, M, K in shape.linears(layer)
    ]
    writer = gguf.GGUFWriter(path, "olmoe" if shape.experts else "llama")
    _describe(writer, shape)
    for name, size, dtype in tensors:
        stored = size if dtype == float32 else gguf.quant_shape_to_byte_shape(size, dtype)
        item = 4 if dtype == float32 else 1
        element = np.dtype(np.float32 if dtype == float32 else np.uint8)
        raw = None if dtype == float32 else dtype
        writer.add_tensor_info(name, stored, element, math.prod(stored) * item, raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(0)
    for _, size, dtype in tensors:
        if dtype == float32 and len(size) == 2:
            data = rng.standard_normal(size, np.float32) * np.float32(0.02)
        elif dtype == float32:
            data = np.ones(size, np.float32)
        elif dtype == q6_k:
            data = _chosen(_random_q6_k(size[1], rng), size[0], rng)
        else:
            rows = _drawn(size[-1], kind.startswith("TQ"), rng)
            data = _chosen(gguf.quants.quantize(rows, dtype), math.prod(size[:-1]), rng)
        writer.write_tensor_data(data)
    writer.close()


def _describe(writer: object, shape: Shape) -> None:
    writer.add_name("random weights")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.chosen)
    writer.add_tokenizer_model("no_vocab")


def _drawn(K: int, ternary: bool, rng: np.random.Generator) -> np.ndarray:
    """Rows of variance 1 / K, so that activations keep their size through the layers."""
    if ternary:
        return rng.integers(-1, 2, (_DRAWN_ROWS, K)).astype(np.float32) * math.sqrt(1.5 / K)
    return rng.standard_normal((_DRAWN_ROWS, K), np.float32) / np.float32(math.sqrt(K))


def _random_q6_k(K: int, rng: np.random.Generator) -> np.ndarray:
    blocks = rng.integers(0, 256, (_DRAWN_ROWS, K // _Q6_K_BLOCK, _Q6_K_BYTES), np.uint8)
    blocks[..., -2:] = np.frombuffer(_Q6_K_SCALE.tobytes(), np.uint8)
    return blocks.reshape(_DRAWN_ROWS, -1)


def _chosen(rows: np.ndarray, M: int, rng: np.random.Generator) -> np.ndarray:
    return rows[rng.integers(0, len(rows), M)]
