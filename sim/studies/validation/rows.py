"""All rows, in the order of the page."""

from __future__ import annotations

from . import devices, llm_npu, llm_npu_ablation, offload, published_costs, tpi_llm
from .row import Row

__all__ = ["all_rows"]


def all_rows() -> list[Row]:
    """Every figure that is compared."""
    return [
        *llm_npu.rows(), *llm_npu_ablation.rows(), *devices.rows(), *offload.rows(),
        *published_costs.rows(), *tpi_llm.rows(),
    ]
