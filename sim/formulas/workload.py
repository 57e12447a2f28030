"""What a model asks for: every operator of a step, with its arithmetic and its DRAM traffic.

A *step* sends N tokens through the model on top of ``past`` cached positions: prefill is
N = prompt, past = 0; decode is N = 1. Nothing here knows a device: counts only.

- MACs: M x K x N for a matrix; for attention, ``head_dim`` per pair of query and visible key, so a
  causal prefill has N (N + 1) / 2 pairs per head.
- Operations: float operations elementwise (an elementary function counts as one).
- Elements: element passes through a vector unit, which fuses the operations of one pass.
- Bytes: what crosses the DRAM pins, by what it is. Activations do so only if they spill.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ...model import LINEAR_NAMES, ModelConfig
from ..descriptions.dram_layout import NORM_BITS, DramLayout

__all__ = [
    "DramTraffic",
    "Operator",
    "Seen",
    "Workload",
    "attention",
    "model_bytes",
    "pairs",
    "seen",
    "step",
]

Seen = tuple[int, ...]   # pairs and bytes for each window, one after the other
# Of an accelerator the first three; a processor has launches without arithmetic, too.
OperatorUnit = Literal["tlmm", "integer", "vector", "matrix", "attention", "launch"]

_FLOAT_BITS = 32
_CODE_BITS = 8         # int8 activations into a matmul

# (operations, passes) per element.
_NORM = (4, 2)         # square, add | times rsqrt, times weight
_QUANTIZE = (3, 1)     # absmax (in the pass before), times inverse, round
_ROPE = (3, 1)         # two products and a sum
_KV = (3, 2)           # absmax | times inverse, round
_SOFTMAX = (4, 2)      # max | subtract, exp, add
_RESIDUAL = (1, 1)
_ACTIVATION = {"silu": (3, 1), "relu2": (3, 1), "gelu_tanh": (7, 1)}   # times up included


@dataclass(frozen=True)
class DramTraffic:
    """Bytes that cross the DRAM pins, by what they are."""

    weights: int = 0
    kv_read: int = 0
    kv_written: int = 0
    activations_read: int = 0
    activations_written: int = 0

    @property
    def read(self) -> int:
        """Bytes read."""
        return self.weights + self.kv_read + self.activations_read

    @property
    def written(self) -> int:
        """Bytes written."""
        return self.kv_written + self.activations_written

    @property
    def total(self) -> int:
        """Bytes in both directions."""
        return self.read + self.written


@dataclass(frozen=True)
class Operator:
    """One operator of a step; it runs ``count`` times (once per layer, or once).

    All other numbers are for one of these. ``shape`` is [M, K] of a matmul, else None.
    """

    name: str
    unit: OperatorUnit
    count: int
    tokens: int
    macs: int = 0
    operations: int = 0
    elements: int = 0
    shape: tuple[int, int] | None = None
    traffic: DramTraffic = DramTraffic()

    @property
    def matrix(self) -> tuple[int, int]:
        """[M, K] of a matmul; only those have one."""
        if self.shape is None:
            raise ValueError(f"{self.name} is no matmul")
        return self.shape


@dataclass(frozen=True)
class Workload:
    """The operators of one step, in order: ``before`` the layers, of a ``layer``, ``after`` them.

    Operators of a layer stand there once, with their ``count``.
    """

    tokens: int
    past: int
    before: tuple[Operator, ...]
    layer: tuple[Operator, ...]
    after: tuple[Operator, ...]

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """All of them."""
        return self.before + self.layer + self.after

    def total(self, field: Literal["macs", "operations", "elements"]) -> int:
        """A count summed over all operators and layers."""
        return sum(operator.count * getattr(operator, field) for operator in self.operators)

    def bytes(self, field: str = "total") -> int:
        """A kind of traffic (a field or property of ``DramTraffic``) summed over all operators."""
        return sum(op.count * getattr(op.traffic, field) for op in self.operators)


def step(config: ModelConfig, layout: DramLayout, tokens: int, past: int = 0) -> Workload:
    """The operators that send ``tokens`` tokens through ``config`` on ``past`` cached positions.

    The LM head runs for the last token only. Layers that attend to windows of different lengths
    have attention operators of their own.
    """
    builder = _Builder(config, layout, tokens)
    layers = config.num_layers
    width, inner = config.num_heads * config.head_dim, config.intermediate_size
    norms = config.layer_norms
    operators = [builder.before_stage("input_norm", norms.attention_in)]
    operators += [builder.matmul(name) for name in LINEAR_NAMES[:3]]
    rotated = (config.num_heads + config.num_kv_heads) * config.head_dim
    if config.qk_norm:
        weights = rotated if config.qk_norm_whole else 2 * config.head_dim
        operators.append(builder.vector("qk_norm", rotated, [_NORM], layers, weights=weights))
    operators += [builder.vector("rope", rotated, [_ROPE], layers), builder.kv_write()]
    operators += attention(config, layout, tokens, seen(config, layout, tokens, past))
    operators += [
        builder.before_matmul("attn_sub_norm", width),
        builder.matmul(LINEAR_NAMES[3]),
        *builder.after_stage("attn_out_norm", norms.attention_out),
        builder.residual("attn_residual"),
        builder.before_stage("post_norm", norms.feed_forward_in),
        builder.matmul(LINEAR_NAMES[4]),
        builder.matmul(LINEAR_NAMES[5]),
        builder.activation(),
        builder.before_matmul("ffn_sub_norm", inner),
        builder.matmul(LINEAR_NAMES[6]),
        *builder.after_stage("ffn_out_norm", norms.feed_forward_out),
        builder.residual("ffn_residual"),
    ]
    return Workload(tokens, past, (builder.embedding(),), tuple(operators),
                    (builder.last_token("final_norm"), builder.head()))


def seen(config: ModelConfig, layout: DramLayout, tokens: int, past: int) -> Seen:
    """What ``tokens`` tokens on ``past`` cached positions attend to: for each window of ``config``
    the pairs of query and visible key, and the bytes of their keys (or of their values).
    """
    numbers: list[int] = []
    sharing = min(layout.query_rows, tokens)
    for window in _windows(config):
        visible = pairs(tokens, past, window)
        numbers += visible, layout.kv_bytes(config, -(-visible // sharing))
    return tuple(numbers)


def attention(
    config: ModelConfig, layout: DramLayout, tokens: int, seen: Seen
) -> tuple[Operator, ...]:
    """The attention operators of a layer; ``tokens`` and ``seen`` may be sums over sequences."""
    builder = _Builder(config, layout, tokens)
    return tuple(
        operator
        for (window, count), visible, read in zip(
            _windows(config).items(), seen[::2], seen[1::2], strict=True)
        for operator in builder.attention(visible, read, window, count)
    )


def _windows(config: ModelConfig) -> Counter[int | None]:
    """How many layers attend to a window, for each."""
    return Counter(config.sliding_windows or {None: config.num_layers})


def model_bytes(config: ModelConfig, layout: DramLayout) -> int:
    """Bytes of all weights in DRAM: layers, norms, embedding, and an untied head beside it."""
    layers = step(config, layout, tokens=1).bytes("weights")
    embedding = layout.head_bytes(config.vocab_size, config.hidden_size)
    looked_up = layout.head_bytes(1, config.hidden_size)
    return layers - looked_up + (0 if config.tie_word_embeddings else embedding)


def pairs(tokens: int, past: int, window: int | None) -> int:
    """Pairs of query and visible key when ``tokens`` tokens follow ``past``: causal, windowed."""
    if window is None or past + tokens <= window:
        return tokens * past + tokens * (tokens + 1) // 2
    growing = max(0, window - past)   # the first tokens still see everything before them
    return pairs(growing, past, None) + (tokens - growing) * window


@dataclass(frozen=True)
class _Builder:
    """Makes the operators of one step of ``tokens`` tokens."""

    config: ModelConfig
    layout: DramLayout
    tokens: int

    def spilled(self, elements: int, bits: int) -> int:
        """Bytes of an activation of ``elements`` per token, if activations go through DRAM."""
        return self.tokens * elements * bits // 8 if self.layout.spill else 0

    def vector(
        self, name: str, width: int, passes: list[tuple[int, int]], count: int, *,
        weights: int = 0, inputs: int = 1, out_bits: int = _FLOAT_BITS,
    ) -> Operator:
        """An elementwise operator over ``width`` elements per token, made of ``passes``."""
        return Operator(
            name, "vector", count, self.tokens,
            operations=self.tokens * width * sum(operations for operations, _ in passes),
            elements=self.tokens * width * sum(number for _, number in passes),
            traffic=DramTraffic(
                weights=weights * NORM_BITS // 8,
                activations_read=inputs * self.spilled(width, _FLOAT_BITS),
                activations_written=self.spilled(width, out_bits),
            ),
        )

    def norm(self, name: str, width: int, count: int) -> Operator:
        """RMSNorm and the quantizer that feeds the next matmul."""
        return self.vector(
            name, width, [_NORM, _QUANTIZE], count, weights=width, out_bits=_CODE_BITS
        )

    def before_matmul(self, name: str, width: int) -> Operator:
        """SubLN and quantizer where the model has SubLN, else the quantizer alone."""
        if self.config.sub_norm:
            return self.norm(name, width, self.config.num_layers)
        return self.quantizer(name.replace("sub_norm", "quantize"), width)

    def quantizer(self, name: str, width: int) -> Operator:
        """The quantizer of a matmul's input alone, in every layer."""
        return self.vector(name, width, [_QUANTIZE, (0, 1)], self.config.num_layers,
                           out_bits=_CODE_BITS)

    def before_stage(self, name: str, norm: str | None) -> Operator:
        """The norm before attention or feed-forward with its quantizer, or the latter alone."""
        if norm is None:
            return self.quantizer(name.replace("norm", "quantize"), self.config.hidden_size)
        return self.norm(name, self.config.hidden_size, self.config.num_layers)

    def after_stage(self, name: str, norm: str | None) -> list[Operator]:
        """The norm of what attention or feed-forward adds to the residual stream, if any."""
        width = self.config.hidden_size
        return [] if norm is None else [
            self.vector(name, width, [_NORM], self.config.num_layers, weights=width)]

    def residual(self, name: str) -> Operator:
        """The addition of a block's output to its input."""
        return self.vector(
            name, self.config.hidden_size, [_RESIDUAL], self.config.num_layers, inputs=2
        )

    def activation(self) -> Operator:
        """Activation function of gate, times up."""
        passes = [_ACTIVATION[self.config.activation]]
        return self.vector(
            "activation", self.config.intermediate_size, passes, self.config.num_layers, inputs=2
        )

    def matmul(self, name: str) -> Operator:
        """One of a layer's seven matrices on the ternary engine, scaled to float32 as it drains."""
        M, K = self.config.linear_shape(name)
        bias = M * NORM_BITS // 8 if self.config.has_bias(name) else 0
        return Operator(
            name.rsplit(".", maxsplit=1)[-1], "tlmm", self.config.num_layers, self.tokens,
            macs=self.tokens * M * K, operations=self.tokens * M, shape=(M, K),
            traffic=DramTraffic(
                weights=self.layout.matrix_bytes(M, K) + bias,
                activations_read=self.spilled(K, _CODE_BITS),
                activations_written=self.spilled(M, _FLOAT_BITS),
            ),
        )

    def embedding(self) -> Operator:
        """One row per token, scaled to float32."""
        hidden = self.config.hidden_size
        return Operator(
            "embedding", "vector", 1, self.tokens,
            operations=self.tokens * hidden, elements=self.tokens * hidden,
            traffic=DramTraffic(
                weights=self.layout.head_bytes(self.tokens, hidden),
                activations_written=self.spilled(hidden, _FLOAT_BITS),
            ),
        )

    def kv_write(self) -> Operator:
        """Quantize the new keys and values and append them to the cache."""
        width = 2 * self.config.num_kv_heads * self.config.head_dim
        operations, passes = _KV
        return Operator(
            "kv_write", "vector", self.config.num_layers, self.tokens,
            operations=self.tokens * width * operations, elements=self.tokens * width * passes,
            traffic=DramTraffic(
                kv_written=2 * self.layout.kv_bytes(self.config, self.tokens),
                activations_read=self.spilled(width, _FLOAT_BITS),
            ),
        )

    def attention(
        self, visible: int, read: int, window: int | None, count: int
    ) -> list[Operator]:
        """Scores, softmax and weighted values over ``visible`` pairs; ``read`` bytes of keys."""
        heads, head_dim = self.config.num_heads, self.config.head_dim
        suffix = "" if window is None else f"_{window}"
        operations, passes = _SOFTMAX
        spilled = self.spilled(heads * head_dim, _FLOAT_BITS)
        return [
            Operator(
                f"attention_scores{suffix}", "integer", count, self.tokens,
                macs=heads * head_dim * visible,
                traffic=DramTraffic(kv_read=read, activations_read=spilled),
            ),
            Operator(
                f"softmax{suffix}", "vector", count, self.tokens,
                operations=heads * visible * operations, elements=heads * visible * passes,
            ),
            Operator(
                f"attention_values{suffix}", "integer", count, self.tokens,
                macs=heads * head_dim * visible, operations=self.tokens * heads * head_dim,
                traffic=DramTraffic(kv_read=read, activations_written=spilled),
            ),
        ]

    def last_token(self, name: str) -> Operator:
        """The norm (and quantizer) before the LM head, for the last token."""
        return _Builder(self.config, self.layout, 1).norm(name, self.config.hidden_size, 1)

    def head(self) -> Operator:
        """Logits of the last token."""
        M, K = self.config.vocab_size, self.config.hidden_size
        return Operator(
            "lm_head", "integer", 1, 1, macs=M * K, operations=M, shape=(M, K),
            traffic=DramTraffic(weights=self.layout.head_bytes(M, K)),
        )
