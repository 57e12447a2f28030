"""What a block costs on a device: Yosys and nextpnr from PyPI, run and read.

``blocks`` names what can be synthesized, ``targets`` says for which devices and by which steps,
``flow.synthesize`` does it and keeps the result in the cache. ``cells`` counts what Yosys leaves.
"""

from .blocks import BLOCKS, SynthBlock, select_blocks
from .flow import Synthesis, Timing, synthesize
from .targets import TARGETS, Target

__all__ = ["BLOCKS", "TARGETS", "SynthBlock", "Synthesis", "Target", "Timing", "select_blocks",
           "synthesize"]
