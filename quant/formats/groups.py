"""Groups of columns that share a scale: their sizes, and a matrix seen group by group."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ...errors import FormatError
from .parameters import Choices

__all__ = ["GROUP_SIZES", "GroupSize", "check_blocks", "check_columns",
           "check_group_size", "grouped"]

GROUP_SIZES = (32, 64, 128)
GroupSize = Annotated[int | None, Choices((*GROUP_SIZES, None))]   # None: one group per row


def check_group_size(form: str, size: object) -> None:
    """Raise ``FormatError`` unless ``size`` is one of ``GROUP_SIZES`` or None (one per row)."""
    if size is not None and (type(size) is not int or size not in GROUP_SIZES):
        raise FormatError(f"{form}: group_size must be 32, 64, 128 or None (row), not {size!r}")


def check_columns(tensor: str, K: int, size: int | None, one_per_row: bool = True) -> None:
    """Raise ``FormatError``, naming ``tensor``, unless K columns are whole groups."""
    if size and K % size:
        fitting = [str(other) for other in GROUP_SIZES if K % other == 0]
        fitting += ["one group per row"] if one_per_row else []
        raise FormatError(
            f"{tensor}: K = {K} is not a multiple of the group size {size}; "
            f"what fits: {', '.join(fitting) or 'another format'}"
        )


def check_blocks(tensor: str, K: int, form: str, size: int) -> None:
    """Raise ``FormatError``, naming ``tensor``, unless K columns are whole blocks of ``form``."""
    if K % size:
        raise FormatError(
            f"{tensor}: K = {K} is not a multiple of {size}, the columns of a block of {form}; "
            "use int8 or fp8"
        )


def grouped(rows: np.ndarray, size: int | None) -> np.ndarray:
    """A view [R, groups, group size] of rows [R, K]."""
    return rows.reshape(rows.shape[0], -1, size or rows.shape[1])
