"""All rows, in the order of the page."""

from __future__ import annotations

from . import devices, llm_npu, published_costs
from .row import Row

__all__ = ["all_rows"]


def all_rows() -> list[Row]:
    """Every figure that is compared."""
    return [*llm_npu.rows(), *devices.rows(), *published_costs.rows()]
