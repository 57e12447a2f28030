"""What the drivers of the five operations share."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from .accelerator_parameters import AcceleratorParameters
from .layouts import descriptor_layout, state_layout

__all__ = ["Driver"]


class Driver(Component):
    """Walks through an operation, and gives the units of the datapath what they need for it.

    Parameters
    ----------
    parameters : AcceleratorParameters
        The sizes of the accelerator.
    units : dict[str, wiring.Member]
        The members to and from the units.
    issued_width : int
        The bits of ``o_issued``.

    Members
    -------
    i_active : ``In(1)``
        The descriptor is one for this driver, and is to be done. It stays until ``o_walked``, and
        as long as the sequencer likes after it.
    i_descriptor, i_state : ``In(...)``
        They are constant while ``i_active``, and from three cycles before it on: what is made of
        them alone, such as a product, is in a register before the walk begins.
    o_issued : ``Out(issued_width)``
        So many pieces of work that were given in this cycle will be completed: see the subclass.
    o_walked : ``Out(1)``
        Everything has been given.
    """

    def __init__(self, parameters: AcceleratorParameters, units: dict[str, wiring.Member],
                 issued_width: int = 1) -> None:
        self.parameters = parameters
        super().__init__({
            "i_active": In(1), "i_descriptor": In(descriptor_layout()),
            "i_state": In(state_layout(parameters)),
            **units,
            "o_issued": Out(issued_width), "o_walked": Out(1),
        })

    def _end(self, m: Module) -> None:
        """Add the last state, ``walked``, which lasts while ``i_active``; ``idle`` follows it."""
        with m.State("walked"):
            m.d.comb += self.o_walked.eq(1)
            with m.If(~self.i_active):
                m.next = "idle"
