"""Amaranth building blocks: streams and the table-lookup matmul.

What is exported here needs no Amaranth. The components are in modules of their own:
``hw.matmul.tlmm.Tlmm`` and the blocks it is made of.
"""

from .matmul.parameters import TlmmParameters, cycles

__all__ = ["TlmmParameters", "cycles"]
