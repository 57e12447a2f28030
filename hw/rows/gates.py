"""The feed-forward gates, one element at a time: float pipelines, used through ``Elementwise``."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..floats.compare import FloatMaximum
from ..floats.exponential import FloatSigmoid
from ..floats.format import FLOAT32, constant
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay

__all__ = ["Gate", "Relu2Gate", "SiluGate"]


class SiluGate(wiring.Component):
    """``(i_gate * sigmoid(i_gate)) * i_up``: an element of
    ``runtime.kernels.elementwise.silu_gate``.

    A pipeline that never stops, as those of ``hw.floats`` are.

    Members
    -------
    i_gate, i_up : ``In(FLOAT32.layout)``
        Operands.
    o : ``Out(FLOAT32.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        71.
    """

    latency = FloatSigmoid.latency + 2 * FloatMultiply.latency

    def __init__(self) -> None:
        super().__init__({
            "i_gate": In(FLOAT32.layout), "i_up": In(FLOAT32.layout), "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sigmoid = sigmoid = FloatSigmoid()
        m.submodules.silu = silu = FloatMultiply(FLOAT32)
        m.submodules.product = product = FloatMultiply(FLOAT32)
        m.d.comb += [
            sigmoid.i.eq(self.i_gate),
            silu.i_a.eq(delay(m, self.i_gate, sigmoid.latency, "gate")),
            silu.i_b.eq(sigmoid.o),
            product.i_a.eq(silu.o),
            product.i_b.eq(delay(m, self.i_up, sigmoid.latency + silu.latency, "up")),
            self.o.eq(product.o),
        ]
        return m


class Relu2Gate(wiring.Component):
    """``max(i_gate, 0)^2 * i_up``: an element of ``runtime.kernels.elementwise.relu2_gate``.

    A pipeline that never stops, as those of ``hw.floats`` are.

    Members
    -------
    i_gate, i_up : ``In(FLOAT32.layout)``
        Operands.
    o : ``Out(FLOAT32.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        9.
    """

    latency = FloatMaximum.latency + 2 * FloatMultiply.latency

    def __init__(self) -> None:
        super().__init__({
            "i_gate": In(FLOAT32.layout), "i_up": In(FLOAT32.layout), "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.relu = relu = FloatMaximum(FLOAT32)
        m.submodules.square = square = FloatMultiply(FLOAT32)
        m.submodules.product = product = FloatMultiply(FLOAT32)
        m.d.comb += [
            relu.i_a.eq(self.i_gate), relu.i_b.eq(constant(np.float32(0))),
            square.i_a.eq(relu.o), square.i_b.eq(relu.o),
            product.i_a.eq(square.o),
            product.i_b.eq(delay(m, self.i_up, relu.latency + square.latency, "up")),
            self.o.eq(product.o),
        ]
        return m


class Gate(wiring.Component):
    """``SiluGate`` or ``Relu2Gate``, with the same two multipliers: whichever is chosen.

    A pipeline that never stops, as those of ``hw.floats`` are.

    Members
    -------
    i_silu : ``In(1)``
        SiLU instead of squared ReLU; constant while anything is under way.
    i_gate, i_up : ``In(FLOAT32.layout)``
        Operands.
    o : ``Out(FLOAT32.layout)``
        Result, ``latency`` cycles later.

    Attributes
    ----------
    latency : int
        71, that of ``SiluGate``.
    """

    latency = SiluGate.latency

    def __init__(self) -> None:
        super().__init__({
            "i_silu": In(1), "i_gate": In(FLOAT32.layout), "i_up": In(FLOAT32.layout),
            "o": Out(FLOAT32.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sigmoid = sigmoid = FloatSigmoid()
        m.submodules.relu = relu = FloatMaximum(FLOAT32)
        m.submodules.activation = activation = FloatMultiply(FLOAT32)
        m.submodules.product = product = FloatMultiply(FLOAT32)
        until_relu = delay(m, self.i_gate, sigmoid.latency - relu.latency, "gate")
        gate = delay(m, until_relu, relu.latency, "late_gate")

        def chosen(silu: data.View, relu2: data.View) -> Value:
            return Mux(self.i_silu, silu.as_value(), relu2.as_value())

        m.d.comb += [
            sigmoid.i.eq(self.i_gate),
            relu.i_a.eq(until_relu), relu.i_b.eq(constant(np.float32(0))),
            activation.i_a.eq(chosen(gate, relu.o)), activation.i_b.eq(chosen(sigmoid.o, relu.o)),
            product.i_a.eq(activation.o),
            product.i_b.eq(delay(m, self.i_up, sigmoid.latency + activation.latency, "up")),
            self.o.eq(product.o),
        ]
        return m
