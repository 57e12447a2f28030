"""A neural processing unit: a matmul array in RTL, and the graphs of a prefill in chunks.

What is exported here needs no Amaranth. The components are in modules of their own:
``npu.array.Array`` and the multiplier and datapath that it is made of.
"""

from .chunk_graphs import ChunkGraphs
from .parameters import ArrayParameters, Stationary

__all__ = ["ArrayParameters", "ChunkGraphs", "Stationary"]
