"""The accelerator: the blocks of ``hw`` around one memory port, run by a list of descriptors.

``accelerator_parameters`` says how large it is, ``descriptors`` what it can be told, ``compiler``
turns a ternary model into a memory image with its descriptors, ``accelerator`` is the hardware.
"""
