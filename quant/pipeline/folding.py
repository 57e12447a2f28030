"""Scales of a linear's columns, taken back in what makes its inputs, so that no output changes.

=============  ==========================================================
columns of     are divided in
=============  ==========================================================
q, k, v        the gain of the norm before
o              the rows of v: heads that share one have one scale (or the gain of the norm between)
gate, up       the gain of the norm before
down           the rows of up (or the gain of the norm between)
=============  ==========================================================

v and up are left alone where they have a bias, q, k, v, gate and up where they read no norm, and
everything that has a part which is not quantized. A gain is rounded to its stored type first, and
the columns are multiplied by the quotient, so that the two cancel up to float32 rounding.
"""

from __future__ import annotations

import numpy as np

from ...model import LINEAR_STAGES, ModelConfig
from ..output.safetensors_writer import TensorEntry

__all__ = ["fold_gain", "norm_before", "rows_before", "share_heads", "spread_heads"]

_SUB_NORMS = {1: "self_attn.attn_sub_norm", 3: "mlp.ffn_sub_norm"}
_PRODUCERS = {1: "self_attn.v_proj", 3: "mlp.up_proj"}


def norm_before(config: ModelConfig, stage: int) -> str | None:
    """The norm that the linears of ``LINEAR_STAGES[stage]`` read, if they read one."""
    norms = {0: config.layer_norms.attention_in, 2: config.layer_norms.feed_forward_in}
    return norms[stage] if stage in norms else _SUB_NORMS[stage] if config.sub_norm else None


def rows_before(config: ModelConfig, stage: int) -> str | None:
    """The linear of the stage before whose rows can be scaled instead of this one's columns."""
    name = _PRODUCERS.get(stage)
    return None if name is None or config.sub_norm or config.has_bias(name) else name


def share_heads(config: ModelConfig, stage: int, values: np.ndarray) -> np.ndarray:
    """Means of ``values`` [K] over the columns that read one row of the producer; [its rows]."""
    if LINEAR_STAGES[stage][0] != "self_attn.o_proj":
        return values
    heads = values.reshape(config.num_kv_heads, -1, config.head_dim)
    return heads.mean(axis=1).reshape(-1)


def spread_heads(config: ModelConfig, stage: int, values: np.ndarray) -> np.ndarray:
    """Inverse of ``share_heads``: a value for every column."""
    if LINEAR_STAGES[stage][0] != "self_attn.o_proj":
        return values
    shared = config.num_heads // config.num_kv_heads
    heads = values.reshape(config.num_kv_heads, 1, config.head_dim)
    return np.repeat(heads, shared, axis=1).reshape(-1)


def fold_gain(
    weight: np.ndarray, scales: np.ndarray, stored: TensorEntry, offset: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A norm's float32 weight for a gain (weight plus ``offset``) that is divided by ``scales``.

    As it is stored, and the scales that it comes to.
    """
    gain = weight + np.float32(offset)
    folded = stored.to_float32(stored.from_float32(gain / scales - np.float32(offset)))
    left = folded + np.float32(offset)
    exact = np.divide(gain, left, out=np.ones_like(gain), where=left != 0)
    return folded, np.where(exact == 0, np.float32(1), exact)
