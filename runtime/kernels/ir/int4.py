"""Codes of 4 or 2 bits for dot products of bytes: their layout, and this machine's inner loops.

A row group is one stream, in the order in which it is read. A group of columns in it is

    float16 scales [64], uint8 zero points [64] if they differ, blocks [64 rows, 4 bytes]

and byte b of a row holds, from its low bits on, columns b, b + 4 and, of codes of 2 bits, b + 8 and
b + 12 of a block. ``add_groups`` and ``sum_groups`` are ``ir.x86.int4``'s, or ``ir.arm.int4``'s.
"""

from __future__ import annotations

from .machine import ON_ARM

if ON_ARM:
    from .arm.int4 import add_groups, sum_groups
else:
    from .x86.int4 import add_groups, sum_groups

__all__ = ["add_groups", "sum_groups"]
