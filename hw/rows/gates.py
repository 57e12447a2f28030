"""The feed-forward gates, one element at a time: float pipelines, used through ``Elementwise``."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Mux, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.compare import FloatMaximum
from ..floats.exponential import FloatSigmoid
from ..floats.format import FLOAT32, constant
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay

__all__ = ["Gate", "GateUnit", "Relu2Gate", "SiluGate", "gate_unit"]


class GateUnit(Component):
    """An activation function of ``i_gate``, times ``i_up``: an element of a gate.

    It is a pipeline that never stops, as those of ``hw.floats`` are.

    Members
    -------
    i_gate, i_up : ``In(FLOAT32.layout)``
        The operands.
    o : ``Out(FLOAT32.layout)``
        The result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        The number of cycles from the operands to the result.
    """

    latency: int

    def __init__(self, **choices: wiring.Member) -> None:
        super().__init__({
            **choices, "i_gate": In(FLOAT32.layout), "i_up": In(FLOAT32.layout),
            "o": Out(FLOAT32.layout),
        })

    def activate(self, m: Module) -> data.View:
        """Add the activation function to ``m``.

        Returns its value, which must come ``FloatMultiply.latency`` cycles before the result.
        """
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        activated = self.activate(m)
        m.submodules.product = product = FloatMultiply(FLOAT32)
        m.d.comb += [
            product.i_a.eq(activated),
            product.i_b.eq(delay(m, self.i_up, self.latency - product.latency, "up")),
            self.o.eq(product.o),
        ]
        return m


class SiluGate(GateUnit):
    """``(i_gate * sigmoid(i_gate)) * i_up``: an element of
    ``runtime.kernels.elementwise.silu_gate``.

    Attributes
    ----------
    latency : int
        71.
    """

    latency = FloatSigmoid.latency + 2 * FloatMultiply.latency

    def activate(self, m: Module) -> data.View:
        m.submodules.sigmoid = sigmoid = FloatSigmoid()
        m.submodules.silu = silu = FloatMultiply(FLOAT32)
        m.d.comb += [
            sigmoid.i.eq(self.i_gate),
            silu.i_a.eq(delay(m, self.i_gate, sigmoid.latency, "gate")),
            silu.i_b.eq(sigmoid.o),
        ]
        return silu.o


class Relu2Gate(GateUnit):
    """``max(i_gate, 0)^2 * i_up``: an element of ``runtime.kernels.elementwise.relu2_gate``.

    Attributes
    ----------
    latency : int
        9.
    """

    latency = FloatMaximum.latency + 2 * FloatMultiply.latency

    def activate(self, m: Module) -> data.View:
        m.submodules.relu = relu = FloatMaximum(FLOAT32)
        m.submodules.square = square = FloatMultiply(FLOAT32)
        m.d.comb += [
            relu.i_a.eq(self.i_gate), relu.i_b.eq(constant(np.float32(0))),
            square.i_a.eq(relu.o), square.i_b.eq(relu.o),
        ]
        return square.o


class Gate(GateUnit):
    """``SiluGate`` or ``Relu2Gate``, with the same two multipliers: whichever is chosen.

    Members
    -------
    i_silu : ``In(1)``
        SiLU is chosen instead of squared ReLU; constant while anything is under way.

    Attributes
    ----------
    latency : int
        71, that of ``SiluGate``.
    """

    latency = SiluGate.latency

    def __init__(self) -> None:
        super().__init__(i_silu=In(1))

    def activate(self, m: Module) -> data.View:
        m.submodules.sigmoid = sigmoid = FloatSigmoid()
        m.submodules.relu = relu = FloatMaximum(FLOAT32)
        m.submodules.activation = activation = FloatMultiply(FLOAT32)
        until_relu = delay(m, self.i_gate, sigmoid.latency - relu.latency, "gate")
        gate = delay(m, until_relu, relu.latency, "late_gate")

        def chosen(silu: ValueLike, relu2: ValueLike) -> Value:
            return Mux(self.i_silu, Value.cast(silu), Value.cast(relu2))

        m.d.comb += [
            sigmoid.i.eq(self.i_gate),
            relu.i_a.eq(until_relu), relu.i_b.eq(constant(np.float32(0))),
            activation.i_a.eq(chosen(gate, relu.o)), activation.i_b.eq(chosen(sigmoid.o, relu.o)),
        ]
        return activation.o


def gate_unit(activations: tuple[str, ...]) -> type[GateUnit]:
    """The kind of unit that computes ``silu``, ``relu2``, or whichever of both is chosen.

    Raises
    ------
    ValueError
        There is no such unit.
    """
    units: dict[frozenset[str], type[GateUnit]] = {
        frozenset({"silu"}): SiluGate, frozenset({"relu2"}): Relu2Gate,
        frozenset({"silu", "relu2"}): Gate,
    }
    unit = units.get(frozenset(activations))
    if unit is None:
        raise ValueError(f"A gate computes silu, relu2 or both, not {activations!r}")
    return unit
