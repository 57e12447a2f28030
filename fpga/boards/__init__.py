"""Boards: what lies between the accelerator and the pins, and how a bitstream is made.

``ulx3s.Ulx3s`` is the logic of the board with that name, all of which can be simulated; what must
be there on the device alone, the PLL and the registers in the pads, is ``pads``.
"""
