"""Floating-point units in gates, bit for bit the arithmetic of ``trilobite.numerics``.

Every unit is a pipeline that never stops: new operands may enter in every cycle, and their result
leaves ``latency`` cycles later. Inputs are called ``i`` or ``i_x``, the result ``o``. There is no
valid and no ready: whoever feeds a unit knows when its result comes, and has room for it
(``hw.streams.credits``). So no clock enable reaches every register, and no reset either.
"""

from .format import FLOAT32, FloatFormat

__all__ = ["FLOAT32", "FloatFormat"]
