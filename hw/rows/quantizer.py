"""Per-token int8 quantization of activations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...numerics import ABSMAX_FLOOR, INT8_MAX, INT8_STEP, WEIGHT_FLOOR, WEIGHT_MAX, WEIGHT_STEP
from ..component import Component
from ..floats.format import FLOAT32, constant
from ..floats.multiply import FloatMultiply
from ..floats.reciprocal import FloatReciprocal
from ..floats.shared_quadratic import SharedQuadratic
from ..floats.shifting import delay, delay_pulse
from ..floats.to_integer import FloatToInteger
from ..streams.credits import CreditQueue
from .elementwise import lanes_layout
from .row_fork import RowFork, row_layout

__all__ = ["ACTIVATIONS", "SOFTMAX_WEIGHTS", "CodeRule", "Quantizer"]

_ROWS_WAITING = 3   # rows between their last beat taken and their first code given


@dataclass(frozen=True)
class CodeRule:
    """How a row becomes signed codes of ``width`` bits.

    With the largest magnitude, at least ``floor``: code = clip(rint(x * (maximum / largest))), and
    scale = largest * step.
    """

    width: int
    maximum: np.float32
    step: np.float32
    floor: np.float32


ACTIVATIONS = CodeRule(8, INT8_MAX, INT8_STEP, ABSMAX_FLOOR)        # what enters a matmul
SOFTMAX_WEIGHTS = CodeRule(16, WEIGHT_MAX, WEIGHT_STEP, WEIGHT_FLOOR)   # what weighs the values


class Quantizer(Component):
    """Integer codes of every row and one scale, by a ``CodeRule``, bit for bit.

    With ``ACTIVATIONS``, ``numerics.quantize_activation``; with ``SOFTMAX_WEIGHTS``, the weights of
    a tile in ``runtime.kernels.attention.portable``. A row of K finite elements comes as ceil(K /
    lanes) beats, zero past K, and leaves as as many. Its first codes leave ``latency`` cycles after
    its last beat was taken, since the largest magnitude must be known; meanwhile the next row comes
    in. One beat per cycle when nothing stalls, in rows of ``latency`` / 2 beats or more.

    Two passes: the magnitudes, as integers, which order as they do, through a tree of maxima, and
    the reciprocal of the largest; then each element times the inverse, rounded and clipped. None of
    the pipelines stops (``CreditQueue``).

    Parameters
    ----------
    lanes : int
        Elements of a beat.
    max_beats : int
        Most beats of a row; a longer row is cut into rows of this many.
    rule : CodeRule
        Width of the codes, and how they are chosen.

    Members
    -------
    i : ``In(stream.Signature(row_layout(lanes_layout(lanes))))``
        Rows. ``i.ready`` depends on ``i.p.last``.
    o : ``Out(stream.Signature(row_layout(ArrayLayout(signed(rule.width), lanes))))``
        Codes.
    o_scale : ``Out(stream.Signature(FLOAT32.layout))``
        One scale per row, at the latest with its first codes. While three of them are not taken,
        no other row can end.

    Attributes
    ----------
    latency : int
        Cycles from a row's last beat taken to its first codes offered: 36 + ceil(log2(lanes)).
    """

    def __init__(self, lanes: int, max_beats: int, rule: CodeRule = ACTIVATIONS) -> None:
        self.lanes = lanes
        self.max_beats = max_beats
        self.rule = rule
        self._absmax_latency = (lanes - 1).bit_length() + 1
        self._statistic_latency = (self._absmax_latency + FloatReciprocal.latency
                                   + FloatMultiply.latency)
        self._code_latency = FloatMultiply.latency + FloatToInteger.latency
        self.latency = self._statistic_latency + 1 + self._code_latency + 1
        self._fork = RowFork(lanes, max_beats, wait=self.latency)
        super().__init__({
            "i": In(stream.Signature(row_layout(lanes_layout(lanes)))),
            "o": Out(stream.Signature(row_layout(data.ArrayLayout(signed(rule.width), lanes)))),
            "o_scale": Out(stream.Signature(FLOAT32.layout)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.fork = fork = self._fork
        wiring.connect(m, wiring.flipped(self.i), fork.i)

        # Statistic: the largest magnitude, the largest code over it, its product with the step.
        m.submodules.inverses = inverses = CreditQueue(
            FLOAT32.layout, self._statistic_latency, _ROWS_WAITING)
        m.submodules.scales = scales = CreditQueue(
            FLOAT32.layout, self._statistic_latency, _ROWS_WAITING)
        ends = fork.o_now.valid & fork.o_now.beat.last
        # Two rows must not end just so far apart that they meet in the reciprocal.
        meets = delay_pulse(m, ends, SharedQuadratic.period, "ended")
        m.d.comb += [
            fork.may_end.eq(inverses.ready & scales.ready & ~meets),
            inverses.enter.eq(ends), scales.enter.eq(ends),
        ]
        absmax = self._absmax(m, fork)
        m.submodules.reciprocal = reciprocal = FloatReciprocal(shared=True)
        m.submodules.inverse = inverse = FloatMultiply(FLOAT32)
        m.submodules.scale = scale = FloatMultiply(FLOAT32)
        m.d.comb += [
            reciprocal.i.eq(absmax),
            reciprocal.i_valid.eq(delay_pulse(m, ends, self._absmax_latency, "absmax_valid")),
            inverse.i_a.eq(constant(self.rule.maximum)), inverse.i_b.eq(reciprocal.o),
            scale.i_a.eq(delay(m, absmax, reciprocal.latency, "absmax")),
            scale.i_b.eq(constant(self.rule.step)),
            inverses.i.eq(inverse.o), scales.i.eq(scale.o),
        ]
        wiring.connect(m, scales.o, wiring.flipped(self.o_scale))

        # Codes.
        m.submodules.codes = codes = CreditQueue(self.o.p.shape(), self._code_latency)
        m.d.comb += [
            codes.enter.eq(fork.o.valid & inverses.o.valid & codes.ready),
            fork.o.ready.eq(codes.enter),
            inverses.o.ready.eq(codes.enter & fork.o.p.last),
            codes.i.last.eq(delay(m, fork.o.p.last, self._code_latency, "last")),
        ]
        for lane in range(self.lanes):
            m.submodules[f"multiply_{lane}"] = multiply = FloatMultiply(FLOAT32)
            m.submodules[f"round_{lane}"] = to_integer = FloatToInteger(FLOAT32, self.rule.width)
            m.d.comb += [
                multiply.i_a.eq(fork.o.p.values[lane]), multiply.i_b.eq(inverses.o.p),
                to_integer.i.eq(multiply.o),
                codes.i.values[lane].eq(to_integer.o),
            ]
        wiring.connect(m, codes.o, wiring.flipped(self.o))
        return m

    def _absmax(self, m: Module, fork: RowFork) -> Signal:
        """The largest of the row's magnitudes and the rule's floor.

        It is there ceil(log2(lanes)) + 1 cycles after the row's last beat.
        """
        valid: Value = fork.o_now.valid
        last: Value = fork.o_now.beat.last
        terms = [fork.o_now.beat.values[lane].as_value()[:-1] for lane in range(self.lanes)]
        for level in range(1, (self.lanes - 1).bit_length() + 1):
            pairs = list(zip_longest(terms[0::2], terms[1::2]))
            terms = [Signal(FLOAT32.width - 1, name=f"largest_{level}_{lane}", reset_less=True)
                     for lane in range(len(pairs))]
            for term, (left, right) in zip(terms, pairs, strict=True):
                m.d.sync += term.eq(left if right is None else Mux(left > right, left, right))
            was_valid, valid = valid, Signal(name=f"valid_{level}")
            m.d.sync += valid.eq(was_valid)
            last = delay(m, last, 1, f"last_{level}")

        floor = constant(self.rule.floor).as_bits()
        so_far = Signal(FLOAT32.width - 1, init=floor)
        largest = Signal(FLOAT32.width - 1)
        m.d.comb += largest.eq(Mux(terms[0] > so_far, terms[0], so_far))
        with m.If(valid):
            m.d.sync += so_far.eq(Mux(last, floor, largest))
        absmax = Signal(FLOAT32.layout, name="absmax", reset_less=True)
        m.d.sync += absmax.eq(largest)
        return absmax
