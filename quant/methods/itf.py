"""Ternary inside GPTQ: iterative ternary fitting of each group, then aligned to the activations.

Yan et al. 2025, "PT2-LLM: Post-Training Ternarization for Large Language Models" (arXiv
2510.03267), symmetric. The fitting weighs columns by their inputs' power; the alignment is that of
``refine``: a group's scale goes to its least-squares optimum for the outputs. PT2-LLM reorders
columns by similarity; here they come in ``activation_order``.
"""

from __future__ import annotations

import numpy as np

from ..formats import Codes
from ..formats.grouped_ternary import GroupedTernary
from . import gptq
from .method import Method

__all__ = ["METHOD", "itf"]


def itf(weight: np.ndarray, hessian: np.ndarray, form: GroupedTernary) -> Codes:
    """Trits and scales of float32 ``weight`` [M, K] for inputs with ``hessian`` float64 [K, K].

    No row has larger ``row_errors`` than ``form.encode`` gives.
    """
    return gptq.gptq(weight, hessian, form)


METHOD = Method("itf", itf, (GroupedTernary,), corrects_inputs=True)
