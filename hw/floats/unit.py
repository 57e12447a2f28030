"""What the float units of one operand share, and those of two."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from .format import FLOAT32, FloatFormat

__all__ = ["BinaryUnit", "UnaryUnit"]


class UnaryUnit(Component):
    """A function of one float32 number. A new operand may enter in every cycle.

    Parameters
    ----------
    controls : wiring.Member
        Further inputs, by their names.

    Members
    -------
    i : ``In(FLOAT32.layout)``
        The operand.
    o : ``Out(FLOAT32.layout)``
        The result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        The number of cycles from the operand to the result.
    """

    latency: int

    def __init__(self, **controls: wiring.Member) -> None:
        super().__init__(controls | {"i": In(FLOAT32.layout), "o": Out(FLOAT32.layout)})


class BinaryUnit(Component):
    """A function of two numbers. New operands may enter in every cycle.

    Parameters
    ----------
    format : FloatFormat
        The format of the operands and of the result.
    results : dict[str, wiring.Member] | None
        The outputs, if they are others than ``o``.

    Members
    -------
    i_a, i_b : ``In(format.layout)``
        The operands.
    o : ``Out(format.layout)``
        The result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        The number of cycles from the operands to the result.
    """

    latency: int

    def __init__(self, format: FloatFormat,
                 results: dict[str, wiring.Member] | None = None) -> None:
        self.format = format
        super().__init__({
            "i_a": In(format.layout), "i_b": In(format.layout),
            **(results or {"o": Out(format.layout)}),
        })
