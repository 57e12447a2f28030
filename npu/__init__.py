"""A neural processing unit's matmul array: INT4 weights times FP8 activations, exactly.

What is exported here needs no Amaranth. The components are in modules of their own:
``npu.array.Array`` and the multiplier and datapath that it is made of.
"""

from .parameters import ArrayParameters, Stationary

__all__ = ["ArrayParameters", "Stationary"]
