"""Step-3's dollars per million tokens, PTE's gammas and KV-Direct's bytes."""

from __future__ import annotations

from ...descriptions.quantity import Quantity
from ...formulas.prices import Prices, TokenWork, attention_cost, ffn_cost, pte_gamma, total_cost
from ..kv_direct import KvDirect
from .row import Basis, Row

__all__ = ["rows"]

_STEP_3 = "Step-3 technical report"
_CONTEXT = 8192


def _prices(name: str, flop: float, byte: float) -> Prices:
    return Prices(
        name,
        Quantity(flop, flop, flop, "$/FLOP", "source", _STEP_3),
        Quantity(byte, byte, byte, "$/B", "source", _STEP_3),
    )


_HARDWARE = [
    _prices("H800", 2.80e-19, 1.66e-16), _prices("H20", 7.51e-19, 5.56e-17),
    _prices("A800", 6.68e-19, 1.04e-16), _prices("910B", 6.65e-19, 1.16e-16),
]


def _work(
    layers: int, attention: int, projections: int, ffn_parameters: int, kv_values: int
) -> TokenWork:
    """Per layer: multiply-accumulates per cached token, projection weights, cached values (FP8)."""
    return TokenWork(
        attention=2.0 * layers * attention * _CONTEXT, projections=2.0 * layers * projections,
        ffn=2.0 * ffn_parameters, kv_bytes=float(layers * kv_values * _CONTEXT),
    )


# Multi-head latent attention, weights absorbed: 128 heads on 512 + 64 cached values per token; 58
# layers with 8 routed and one shared expert, 3 dense ones.
_DSV3 = _work(
    61, 128 * (576 + 512),
    7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168,
    58 * 9 * 3 * 7168 * 2048 + 3 * 3 * 7168 * 18432, 576,
)
# Multi-matrix factorization attention: 64 heads of 256 on one key and one value; 56 layers with 3
# routed and one shared expert, 5 dense ones.
_STEP3 = _work(
    61, 64 * 2 * 256, 7168 * 2048 + 2048 * 64 * 256 + 7168 * 512 + 64 * 256 * 7168,
    56 * 4 * 3 * 7168 * 5120 + 5 * 3 * 7168 * 18432, 2 * 256,
)
# Grouped-query attention: 64 query and 4 key/value heads of 128; 8 routed experts.
_QWEN3 = _work(
    94, 64 * 2 * 128, 2 * 4096 * 8192 + 2 * 4096 * 512, 94 * 8 * 3 * 4096 * 1536, 2 * 4 * 128
)

# PTE table 1: layers, hidden, active parameters, key/value and query heads; gamma on an H100.
_H100 = 756.5
_GAMMAS = {
    "Llama-3.1-8B": ((32, 4096, 8.03e9, 8, 32), 0.00625),
    "Llama-3.1-70B": ((80, 8192, 70.6e9, 8, 64), 0.00175),
    "Qwen3-30B-A3B": ((48, 2048, 3.3e9, 4, 32), 0.00563),
}

_GEMMA_3_4B = KvDirect(layers=34, hidden=2560, kv_heads=4, head_dim=256)


def rows() -> list[Row]:
    """Formulas with published inputs."""
    return [*_step_3(), *_pte(), *_kv_direct()]


def _step_3() -> list[Row]:
    h800 = _HARDWARE[0]
    values = {
        "DeepSeek-V3, 8K context, attention on H800": (attention_cost(_DSV3, h800), 0.054),
        "DeepSeek-V3, feed-forward on H800": (ffn_cost(_DSV3, h800), 0.014),
        "DeepSeek-V3, each part on the cheapest": (total_cost(_DSV3, _HARDWARE), 0.068),
        "Step-3, each part on the cheapest": (total_cost(_STEP3, _HARDWARE), 0.055),
        "Qwen3-235B-A22B, each part on the cheapest": (total_cost(_QWEN3, _HARDWARE), 0.062),
    }
    return [
        Row(_STEP_3, what, "$/M tokens", dollars * 1e6, reference, Basis.FORMULA, 0.04)
        for what, (dollars, reference) in values.items()
    ]


def _pte() -> list[Row]:
    return [
        Row("PTE table 1", f"{model}, gamma on H100", "", pte_gamma(*shape, _H100), reference,
            Basis.FORMULA, 0.02)
        for model, (shape, reference) in _GAMMAS.items()
    ]


def _kv_direct() -> list[Row]:
    source = "KV-Direct (arXiv 2603.19664)"
    return [
        Row(source, "Gemma-3-4B, keys and values per token", "KiB", _GEMMA_3_4B.kv_bytes / 1024,
            136, Basis.FORMULA, 0.0),
        Row(source, "Gemma-3-4B, one layer's residual", "KiB", _GEMMA_3_4B.checkpoint_bytes / 1024,
            5, Basis.FORMULA, 0.0),
    ]
