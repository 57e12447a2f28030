"""AWQ: columns that read large inputs are scaled up before they are rounded, and clipped ranges.

Lin et al. 2023, "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration"
(arXiv 2306.00978). A linear's column k is multiplied by s_k and whatever makes its inputs divided
by it, so that nothing changes but the rounding. ``s = magnitude**a`` for the magnitudes of the
inputs, a from a grid of twenty. Then the ranges of groups may clip (``fit_clipped``).

Queries and keys are never clipped, as in the authors' code (mit-han-lab/llm-awq, ``auto_clip.py``):
their errors meet in a product, whose exponential is taken, so that the error of a linear's outputs
says little of what clipping does there. On ``demo-llama`` in INT3, clipping them loses more than
everything else here wins.

Formats that fit their levels to each group's weights (``Codebook``) are not made: on ``demo-llama``
HLQ3 came out worse than rounded, and HLQ2 better by 0.01 of perplexity for a minute and a half.

The magnitude here is the root of the mean square, which the Hessian has; the paper takes the mean
of the absolute values. ``quant.pipeline.folding`` says what is divided.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..formats import Codes
from ..formats.base import Format
from ..formats.grouped_int import GroupedInt
from ..formats.grouped_ternary import GroupedTernary
from ..formats.groups import grouped
from .calibration import row_errors
from .clip import fit_clipped
from .gptq import better_rows
from .method import Method

__all__ = ["METHOD", "NEVER_CLIPPED", "awq", "column_scales"]

NEVER_CLIPPED = ("self_attn.q_proj", "self_attn.k_proj")
_STEPS = 20
_FLOOR = 1e-4   # of the largest magnitude: inputs that are always zero have none


def column_scales(
    weights: Sequence[np.ndarray], formats: Sequence[Format], hessian: np.ndarray,
    magnitude: np.ndarray,
) -> np.ndarray:
    """Float32 s [K] that makes the error of the outputs of ``weights`` smallest, rounded plainly.

    The weights are float32 [M, K], with inputs of ``hessian`` float64 [K, K]; ``magnitude`` [K] is
    what powers are taken of. All ones where no power is better.
    """
    base = np.maximum(magnitude, _FLOOR * magnitude.max())
    best = np.ones(len(base), np.float32)
    least = np.inf
    for step in range(_STEPS):
        scales = base ** (step / _STEPS)
        scales = (scales / np.sqrt(scales.max() * scales.min())).astype(np.float32)
        error = sum(
            _rounding_error(weight, form, hessian, scales)
            for weight, form in zip(weights, formats, strict=True)
        )
        if error < least:
            best, least = scales, error
    return best


def _rounding_error(
    weight: np.ndarray, form: Format, hessian: np.ndarray, scales: np.ndarray
) -> float:
    rounded = form.dequantize(form.encode(weight * scales)) / scales
    return float(row_errors(rounded.astype(np.float64) - weight, hessian).sum())


def awq(weight: np.ndarray, hessian: np.ndarray, form: Format) -> Codes:
    """Codes of a float32 ``weight`` [M, K] that is scaled already; its ranges may clip.

    ``hessian`` float64 [K, K] is that of the inputs as they reach the scaled weight. No row has
    larger ``row_errors`` than ``form.encode`` gives.
    """
    plain = form.encode(weight)
    if not isinstance(form, GroupedInt):
        return plain
    groups = grouped(weight, form.group_size).astype(np.float64)
    importance = grouped(np.diag(hessian)[None], form.group_size)[0]
    fitted = [fit_clipped(form, groups[:, g], importance[g]) for g in range(len(importance))]
    scale = np.stack([one for one, _ in fitted], axis=1)
    zeros = [zero for _, zero in fitted if zero is not None]
    zero_point = np.stack(zeros, axis=1) if zeros else None
    values = form.round(
        groups, scale[:, :, None], None if zero_point is None else zero_point[:, :, None]
    )
    clipped = Codes(values.reshape(weight.shape), scale, zero_point)
    return better_rows(weight, hessian, form, clipped, plain)


METHOD = Method("awq", awq, (GroupedInt, GroupedTernary), scales_columns=True,
                rounded=NEVER_CLIPPED)
