"""The float32 outputs that the sums of a matmul with scales per group become."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.add import FloatAdd
from ..floats.format import FLOAT32
from ..floats.from_integer import IntegerToFloat
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay, delay_pulse
from ..rows.elementwise import lanes_layout
from ..rows.row_fork import row_layout
from ..streams.credits import CreditQueue
from ..streams.queue import BlockRamQueue, queue_before
from .digit_sum import digit_sum_layout
from .engine_parameters import TlmmParameters
from .scale_codes import CODE_BITS, EXPONENT_OFFSET, FRACTION_BITS

__all__ = ["UNDER_WAY", "GroupDequantizer"]

# Cycles after a beat entered in which the total that it makes cannot be read.
UNDER_WAY = FloatAdd.latency + 3


class GroupDequantizer(Component):
    """``numerics.add_group`` of every group's sums, and the product with ``scale_x``, bit for bit.

    Of each output, ``total = total + float32(sum) * scale`` through the groups in their order, from
    +0 on, ``width`` outputs per cycle; at last ``total * scale_x``. The totals of a tile's rows
    wait in a memory. A group of less beats than the adder has stages waits for the one before it.

    Parameters
    ----------
    parameters : TlmmParameters
        The engine.
    width : int
        Outputs whose totals are added to at once: C is a multiple of it, and it of ``lanes``.
    lanes : int
        Elements of a beat that leaves.
    depth : int
        Blocks that wait, and whose totals are kept.

    Members
    -------
    i_groups, i_row_blocks : ``In(...)``
        Groups, 0 counting as 1; blocks of a row that ends with ``last``. Constant while anything is
        under way.
    i : ``In(stream.Signature(digit_sum_layout(parameters)))``
        Sums: a job for each group, whose blocks end with ``last``.
    i_codes : ``In(stream.Signature(ArrayLayout(16, width)))``
        Codes (``hw.matmul.scale_codes``) of the scale of each sum, in their order.
    i_scale : ``In(stream.Signature(FLOAT32.layout))``
        The scale of the activations, one for all groups.
    o : ``Out(stream.Signature(row_layout(lanes_layout(lanes))))``
        Outputs.

    Raises
    ------
    ValueError
        ``width`` does not divide C, or ``lanes`` not ``width``.
    """

    to_total = IntegerToFloat.latency + FloatMultiply.latency
    latency = to_total + FloatAdd.latency + FloatMultiply.latency

    def __init__(self, parameters: TlmmParameters, *, width: int, lanes: int, depth: int) -> None:
        if parameters.columns % width or width % lanes:
            raise ValueError(f"{parameters.columns} sums are not a multiple of {width}, or those "
                             f"not of {lanes} lanes")
        self.parameters = parameters
        self.width, self.lanes, self.depth = width, lanes, depth
        super().__init__({
            "i_groups": In(range(parameters.max_k + 1)),
            "i_row_blocks": In(range(parameters.max_blocks + 1)),
            "i": In(stream.Signature(digit_sum_layout(parameters))),
            "i_codes": In(stream.Signature(data.ArrayLayout(CODE_BITS, width))),
            "i_scale": In(stream.Signature(FLOAT32.layout)),
            "o": Out(stream.Signature(row_layout(lanes_layout(lanes)))),
        })

    def elaborate(self, platform):
        m = Module()
        beats = self.parameters.columns // self.width
        m.submodules.blocks = blocks = BlockRamQueue(self.i.p.shape(), self.depth)
        wiring.connect(m, wiring.flipped(self.i), blocks.i)
        m.submodules.queue = queue = CreditQueue(
            row_layout(lanes_layout(self.width)), self.latency)
        block = blocks.o.p

        # Walk through the beats of a block, the blocks of a group, the groups.
        part, place = Signal(range(max(beats, 2))), Signal(range(self.depth * beats))
        group, in_row = Signal.like(self.i_groups), Signal.like(self.i_row_blocks)
        first_group, last_group = Signal(init=1), Signal()
        enters, last_part, block_ends, group_ends = Signal(), Signal(), Signal(), Signal()
        row_ends = Signal()
        m.d.comb += [
            enters.eq(blocks.o.valid & self.i_codes.valid & self.i_scale.valid & queue.ready
                      & self._may_add(m, enters, place, first_group, group_ends)),
            last_group.eq(group + 1 >= self.i_groups),
            queue.enter.eq(enters & last_group),
            last_part.eq(part == beats - 1), block_ends.eq(enters & last_part),
            group_ends.eq(block_ends & block.last),
            row_ends.eq(in_row + 1 == self.i_row_blocks),
            self.i_codes.ready.eq(enters), blocks.o.ready.eq(block_ends),
            self.i_scale.ready.eq(group_ends & last_group),
        ]
        with m.If(enters):
            m.d.sync += [part.eq(part + 1), place.eq(place + 1)]
        with m.If(block_ends):
            m.d.sync += [part.eq(0), in_row.eq(Mux(row_ends | block.last, 0, in_row + 1))]
        with m.If(group_ends):
            m.d.sync += [place.eq(0), first_group.eq(last_group),
                         group.eq(Mux(last_group, 0, group + 1))]

        values = self._scaled(m, enters, place, first_group, part, block)
        m.d.comb += [
            queue.i.values.eq(values),
            queue.i.last.eq(delay(m, row_ends & last_part, self.latency, "last")),
        ]
        self._narrow(m, queue)
        return m

    def _may_add(self, m: Module, enters: Signal, place: Signal, first_group: Signal,
                 group_ends: Signal) -> Signal:
        """The total that is added to next is there: less than a group's beats are under way."""
        count = Signal(range(UNDER_WAY + 1))
        size = Signal(range(UNDER_WAY + 2))   # beats of a group, as far as they matter
        may = Signal()
        m.d.sync += count.eq(count + enters - delay_pulse(m, enters, UNDER_WAY, "written"))
        with m.If(group_ends & first_group):
            m.d.sync += size.eq(Mux(place >= UNDER_WAY, UNDER_WAY + 1, place + 1))
        m.d.comb += may.eq(first_group | (count < size))
        return may

    def _scaled(self, m: Module, enters: Signal, place: Signal, first_group: Signal, part: Signal,
                block: data.View) -> Cat:
        """The outputs of the beat that entered ``latency`` cycles before."""
        width = len(block.sums[0])
        m.submodules.totals = totals = Memory(
            shape=data.ArrayLayout(FLOAT32.width, self.width),
            depth=self.depth * self.parameters.columns // self.width, init=[])
        read, write = totals.read_port(), totals.write_port()
        until_read = self.to_total - 2   # the memory's output, then a register
        before_write = FloatAdd.latency + 2
        reads = delay(m, place, until_read, "read_place")
        m.d.comb += [
            read.addr.eq(reads),
            write.addr.eq(delay(m, reads, before_write, "write_place")),
            write.en.eq(delay_pulse(m, enters, self.to_total + FloatAdd.latency, "writes")),
        ]
        first = delay(m, first_group, self.to_total - 1, "first")
        scale_x = delay(m, self.i_scale.p, self.to_total + FloatAdd.latency, "scale_x")
        outputs = []
        for lane in range(self.width):
            m.submodules[f"to_float_{lane}"] = to_float = IntegerToFloat(FLOAT32, width)
            m.submodules[f"by_w_{lane}"] = by_w = FloatMultiply(FLOAT32)
            m.submodules[f"add_{lane}"] = add = FloatAdd(FLOAT32)
            m.submodules[f"by_x_{lane}"] = by_x = FloatMultiply(FLOAT32)
            total = Signal(FLOAT32.width, name=f"total_{lane}", reset_less=True)
            chosen = Signal(signed(width), name=f"sum_{lane}")
            with m.Switch(part):
                for number in range(self.parameters.columns // self.width):
                    with m.Case(number):
                        m.d.comb += chosen.eq(block.sums[number * self.width + lane])
            m.d.sync += total.eq(Mux(first, 0, read.data[lane]))
            m.d.comb += [
                to_float.i.eq(chosen), by_w.i_a.eq(to_float.o),
                by_w.i_b.eq(self._scale(m, lane)),
                add.i_a.as_value().eq(total), add.i_b.eq(by_w.o),
                write.data[lane].eq(add.o),
                by_x.i_a.eq(add.o), by_x.i_b.eq(scale_x),
            ]
            outputs.append(by_x.o.as_value())
        return Cat(outputs)

    def _scale(self, m: Module, lane: int) -> Value:
        """The float32 number of a lane's code, when its sum is one."""
        code = self.i_codes.p[lane]
        scale = Signal(FLOAT32.layout, name=f"scale_{lane}", reset_less=True)
        exponent = code[FRACTION_BITS:]
        m.d.sync += [
            scale.sign.eq(0),
            scale.mantissa.eq(code[:FRACTION_BITS] << (FLOAT32.mantissa_width - FRACTION_BITS)),
            scale.exponent.eq(Mux(exponent == 0, 0, exponent + EXPONENT_OFFSET)),
        ]
        return delay(m, scale, IntegerToFloat.latency - 1, f"scale_{lane}")

    def _narrow(self, m: Module, queue: CreditQueue) -> None:
        """Give beats of ``width`` outputs as beats of ``lanes``."""
        if self.width == self.lanes:
            wiring.connect(m, queue.o, wiring.flipped(self.o))
            return
        narrow = queue_before(m, "narrow", self.o)
        parts = self.width // self.lanes
        part = Signal(range(parts))
        last_part = part == parts - 1
        wide, taken = queue.o.p, Signal()
        m.d.comb += [
            narrow.i.valid.eq(queue.o.valid),
            narrow.i.p.values.as_value().eq(
                wide.values.as_value().word_select(part, FLOAT32.width * self.lanes)),
            narrow.i.p.last.eq(wide.last & last_part),
            taken.eq(queue.o.valid & narrow.i.ready),
            queue.o.ready.eq(taken & last_part),
        ]
        with m.If(taken):
            m.d.sync += part.eq(Mux(last_part, 0, part + 1))
