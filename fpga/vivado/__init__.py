"""What Vivado needs to make a bitstream of an accelerator for a Zynq UltraScale+.

``ports`` describes the top level, ``top`` writes it, ``ip_xact`` packages it, and ``project``
collects all files. Nothing here needs or runs Vivado.
"""
