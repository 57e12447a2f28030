"""The building blocks of the accelerator, in Amaranth.

What this module exports needs no Amaranth. The components are in modules of their own, of which
``hw.matmul.tlmm.Tlmm`` is one.
"""

from .matmul.engine_parameters import TlmmParameters, cycles

__all__ = ["TlmmParameters", "cycles"]
