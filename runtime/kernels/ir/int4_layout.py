"""The layout of codes of 4 or 2 bits that ``ir.int4`` describes: its sizes and its forms."""

from __future__ import annotations

from collections.abc import Sized

from .row_group import ROWS, STEP

__all__ = ["BLOCK", "BLOCK_COLUMNS", "SCALES", "ZEROS", "bits_and_zeros", "form_of"]

BLOCK = STEP           # bytes
BLOCK_COLUMNS = 8      # of 4 bits
SCALES = 2 * ROWS      # bytes of a group's scales
ZEROS = ROWS           # and of its zero points


def form_of(bits: int, own_zeros: bool) -> tuple[int, ...]:
    """What ``add_groups`` is told: 1 to 4 elements, for codes of 4 or 2 bits and their zeros."""
    return (0,) * (1 + own_zeros + 2 * (bits == 2))


def bits_and_zeros(form: Sized) -> tuple[int, bool]:
    """The bits of a code, and whether there are zero points in the stream."""
    return 2 if len(form) > 2 else 4, len(form) % 2 == 0
