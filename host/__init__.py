"""The program at the other side of a board: it loads an image, starts runs and reads tokens.

``Driver`` knows the registers, a ``Transport`` the way to them: ``uart`` over a serial line,
``uio`` on a Linux that runs beside the fabric, ``pynq`` with the package of that name. A simulation
is one more (``sim.verify.board``).
"""
