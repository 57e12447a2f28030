"""Static timing analysis of mapped netlists: the clock a block can have, and its slowest paths.

``analysis.analyse`` takes a block that ``fpga/synth`` mapped. ``arcs`` reads the delays of a device
from ``delays/*.toml``, each with its source; ``xilinx`` says which arcs a cell has; ``graph``
propagates arrival times through them in three corners; ``paths`` names what lies on the slowest.
"""
