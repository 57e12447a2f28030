"""A neural processing unit: a matmul array of INT4 weights and FP8 activations in RTL.

What is exported here needs no Amaranth. The components are in modules of their own:
``npu.array.Array`` and the multiplier and datapath that it is made of.
"""

from .array_parameters import ArrayParameters, Stationary

__all__ = ["ArrayParameters", "Stationary"]
