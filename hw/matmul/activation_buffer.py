"""The int8 activations of several tokens, kept for the tiles that multiply with them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.format import FLOAT32
from ..rows.row_fork import row_layout
from ..streams.queue import queue_before
from .engine_parameters import TlmmParameters
from .table_builder import group_layout

__all__ = ["ActivationBuffer"]


class ActivationBuffer(Component):
    """Keep rows of int8 codes with their scales; give any of them, as often as it is asked for.

    Rows come as ``Quantizer`` gives them and leave as the beats of ``Tlmm.i_activations``. Row n
    begins at beat ``n * passes``; what a last beat holds past the row is left over from before, and
    the weights there are zero. One beat per cycle in and out. Who asks for a row must know that it
    has come (``o_stored``).

    Parameters
    ----------
    parameters : TlmmParameters
        The engine.
    lanes : int
        Codes of a beat that comes in; T * G must be a multiple.
    depth : int
        Beats of activations.
    max_rows : int
        Most rows.
    max_passes : int, optional
        Most beats of a row; by default those of the longest one.
    grouped : bool
        Rows may have groups of codes, each of which begins with a beat of its own.

    Members
    -------
    i_clear : ``In(1)``
        Begin with row 0 again: what comes from the next cycle on replaces what was kept.
    i_passes : ``In(range(max_passes + 1))``
        Beats of each row; constant from ``i_clear`` on.
    i_group : ``In(16)``
        Beats of ``i`` in a group of codes, after which the next one begins with another beat of
        ``o``; 0: a row is one group. Constant from ``i_clear`` on. It is there if ``grouped``.
    i : ``In(stream.Signature(row_layout(ArrayLayout(signed(8), lanes))))``
        Rows. It is always ready.
    i_scale : ``In(stream.Signature(FLOAT32.layout))``
        A scale for each row. It is always ready.
    o_stored : ``Out(range(max_rows + 1))``
        Rows that have come since ``i_clear``, with their scales.
    i_read : ``In(stream.Signature(range(max_rows)))``
        A row that is wanted.
    o : ``Out(stream.Signature(group_layout(parameters)))``
        Its activations.
    o_scale : ``Out(stream.Signature(FLOAT32.layout))``
        Its scale.

    Raises
    ------
    ValueError
        ``lanes`` does not divide a beat.
    """

    _latency = 3   # of a beat that is read: as in ``TileBuffer``

    def __init__(self, parameters: TlmmParameters, *, lanes: int, depth: int,
                 max_rows: int, max_passes: int | None = None, grouped: bool = False) -> None:
        if parameters.pass_length % lanes:
            raise ValueError(f"A beat of {parameters.pass_length} activations is not a multiple of "
                             f"{lanes} lanes")
        self.parameters = parameters
        self.lanes = lanes
        self.depth = depth
        self.max_rows = max_rows
        self.grouped = grouped
        super().__init__({
            "i_clear": In(1), "i_passes": In(range((max_passes or parameters.max_passes) + 1)),
            **({"i_group": In(16)} if grouped else {}),
            "i": In(stream.Signature(
                row_layout(data.ArrayLayout(signed(parameters.activation_width), lanes)))),
            "i_scale": In(stream.Signature(FLOAT32.layout)),
            "o_stored": Out(range(max_rows + 1)),
            "i_read": In(stream.Signature(range(max_rows))),
            "o": Out(stream.Signature(group_layout(parameters))),
            "o_scale": Out(stream.Signature(FLOAT32.layout)),
        })

    def elaborate(self, platform):
        m = Module()
        self._keep(m)
        self._give(m)
        return m

    def _keep(self, m: Module) -> None:
        parts = self.parameters.pass_length // self.lanes
        code = self.parameters.activation_width
        m.submodules.memory = self._memory = memory = Memory(
            shape=data.ArrayLayout(code * self.lanes, parts), depth=self.depth, init=[])
        m.submodules.scales = self._scales = scales = Memory(
            shape=FLOAT32.width, depth=self.max_rows, init=[])
        write, write_scale = memory.write_port(granularity=1), scales.write_port()

        start, beat = Signal(range(self.depth)), Signal(range(self.depth))
        part = Signal(range(parts))
        rows, scaled = (Signal(range(self.max_rows + 1), name=name) for name in ("rows", "scaled"))
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(1), self.i_scale.ready.eq(1),
            taken.eq(self.i.valid),
            write.addr.eq(beat), write.data.eq(Cat([self.i.p.values] * parts)),
            write.en.eq(taken << part),
            write_scale.addr.eq(scaled), write_scale.data.eq(self.i_scale.p),
            write_scale.en.eq(self.i_scale.valid),
            self.o_stored.eq(Mux(rows < scaled, rows, scaled)),
        ]
        with m.If(taken):
            m.d.sync += part.eq(part + 1)
            with m.If(part == parts - 1):
                m.d.sync += [part.eq(0), beat.eq(beat + 1)]
            if self.grouped:
                self._end_group(m, part, beat)
            with m.If(self.i.p.last):
                m.d.sync += [part.eq(0), rows.eq(rows + 1), beat.eq(start + self.i_passes),
                             start.eq(start + self.i_passes)]
        m.d.sync += scaled.eq(scaled + self.i_scale.valid)
        with m.If(self.i_clear):
            m.d.sync += [part.eq(0), beat.eq(0), start.eq(0), rows.eq(0), scaled.eq(0)]

    def _end_group(self, m: Module, part: Signal, beat: Signal) -> None:
        """Where a beat is taken: what follows a group's last one begins with a beat."""
        in_group = Signal.like(self.i_group)
        with m.If((in_group + 1 == self.i_group) | self.i.p.last):
            m.d.sync += in_group.eq(0)
        with m.Else():
            m.d.sync += in_group.eq(in_group + 1)
        with m.If(in_group + 1 == self.i_group):
            m.d.sync += [part.eq(0), beat.eq(beat + 1)]

    def _give(self, m: Module) -> None:
        read, read_scale = self._memory.read_port(), self._scales.read_port()
        beats = queue_before(m, "beats", self.o, self._latency)
        ready_scales = queue_before(m, "ready_scales", self.o_scale)

        # Begin a row (its scale comes along), then walk through its beats.
        walks, begins, gives, ends = Signal(), Signal(), Signal(), Signal()
        place = Signal(range(self.depth))
        left = Signal.like(self.i_passes)
        scale_pending = Signal(range(3))
        reserved = Signal(range(self._latency + 1))
        m.d.comb += [
            self.i_read.ready.eq(~walks & (scale_pending != 2)),
            begins.eq(self.i_read.valid & self.i_read.ready),
            read_scale.addr.eq(self.i_read.p),
            gives.eq(walks & (reserved != self._latency)),
            ends.eq(gives & (left == 1)),
            read.addr.eq(place),
        ]
        given, scale_given = Signal(), Signal()
        m.d.sync += [
            given.eq(gives), scale_given.eq(begins),
            reserved.eq(reserved + gives - (self.o.valid & self.o.ready)),
            scale_pending.eq(scale_pending + begins - (self.o_scale.valid & self.o_scale.ready)),
        ]
        m.d.comb += [
            beats.i.valid.eq(given), beats.i.p.eq(read.data),
            ready_scales.i.valid.eq(scale_given), ready_scales.i.p.eq(read_scale.data),
        ]
        with m.If(begins):
            m.d.sync += [walks.eq(1), place.eq(self.i_read.p * self.i_passes),
                         left.eq(self.i_passes)]
        with m.If(gives):
            m.d.sync += [place.eq(place + 1), left.eq(left - 1)]
            with m.If(ends):
                m.d.sync += walks.eq(0)
