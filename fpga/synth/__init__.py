"""What a block costs on a device: Yosys and nextpnr from PyPI, run and read.

``blocks`` names what can be synthesized, ``targets`` says for which devices and by which steps,
``flow.synthesize`` does it and keeps the result in the cache. ``cells`` counts what Yosys leaves.
Nothing is imported here: the command line reads ``targets`` where Amaranth may not be installed.
"""
