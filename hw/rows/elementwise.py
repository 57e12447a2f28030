"""Elementwise functions on streams of several elements per beat."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..streams.credits import CreditQueue

__all__ = ["Elementwise", "lanes_layout", "residual_add"]


def lanes_layout(lanes: int) -> data.ArrayLayout:
    """``lanes`` float32 numbers, the first one lowest."""
    return data.ArrayLayout(FLOAT32.layout, lanes)


class Elementwise(Component):
    """Apply a float pipeline to every element of the beats of one or more streams.

    A beat of each input stream gives one beat of ``o``: the exact bits of the unit, hence of the
    runtime's function that the unit is. One beat per cycle when nothing stalls. The units never
    stop (``CreditQueue``).

    Parameters
    ----------
    unit : Callable[[], Component]
        Makes the pipeline of one element: inputs ``i_x`` of ``FLOAT32.layout``, output ``o``,
        and its ``latency``.
    lanes : int
        Elements of a beat.

    Members
    -------
    i_x : ``In(stream.Signature(lanes_layout(lanes)))``
        There is one for each input ``i_x`` of the unit. A beat is taken when all of them offer
        one: a ``ready`` depends on the other streams' ``valid``, and not on ``o.ready``.
    o : ``Out(stream.Signature(lanes_layout(lanes)))``
        Results.

    Attributes
    ----------
    latency : int
        Cycles from a beat taken to its result offered, when nothing stalls: one more than the
        unit's.

    Raises
    ------
    ValueError
        ``lanes`` is below 1.
    """

    def __init__(self, unit: Callable[[], Component], lanes: int) -> None:
        if lanes < 1:
            raise ValueError(f"An elementwise function has at least 1 lane, not {lanes!r}")
        self.lanes = lanes
        self._units = [unit() for _ in range(lanes)]
        self._inputs = [name for name, member in self._units[0].signature.members.items()
                        if member.flow == In]
        self.latency = self._units[0].latency + 1
        beat = stream.Signature(lanes_layout(lanes))
        super().__init__({**{name: In(beat) for name in self._inputs}, "o": Out(beat)})

    def elaborate(self, platform):
        m = Module()
        inputs = {name: getattr(self, name) for name in self._inputs}
        m.submodules.queue = queue = CreditQueue(self.o.p.shape(), self.latency - 1)
        all_valid = queue.ready
        for port in inputs.values():
            all_valid = all_valid & port.valid
        m.d.comb += queue.enter.eq(all_valid)
        for port in inputs.values():
            m.d.comb += port.ready.eq(all_valid)

        for lane, unit in enumerate(self._units):
            m.submodules[f"lane_{lane}"] = unit
            for name, port in inputs.items():
                m.d.comb += getattr(unit, name).eq(port.p[lane])
            m.d.comb += queue.i[lane].eq(unit.o)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        return m


def residual_add(lanes: int) -> Elementwise:
    """``runtime.kernels.elementwise.add_residual`` on streams: ``o`` = ``i_a`` + ``i_b``."""
    return Elementwise(lambda: FloatAdd(FLOAT32), lanes)
