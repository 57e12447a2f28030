"""Weight tiles on the chip: the next one is loaded while the last one is used."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..streams.queue import queue_behind

__all__ = ["TileBuffer", "buffer_tile_layout"]


def buffer_tile_layout(beats_width: int, repeats_width: int) -> data.StructLayout:
    """A tile: how many beats it has and how often it is given out. 0 counts as 1."""
    return data.StructLayout({"beats": beats_width, "repeats": repeats_width})


class TileBuffer(Component):
    """A ring of beats that is given out tile by tile, each tile as often as it is needed.

    While a tile is given out, again and again for the tokens of a prefill, the beats of the next
    ones are taken in as far as there is room: two tiles of half the depth are double-buffered, and
    any other sizes share the ring as they come. In the last round of a tile each beat frees its
    place at once. A tile of one round (decode) thus passes like through a FIFO, may be longer than
    the buffer, and leaves the whole buffer to what is prefetched behind it.

    One beat per cycle, in or out: a beat that comes in goes first, and what is given out waits for
    it. So the memory has one port for both, and takes half of the blocks that a port for each
    would (UltraRAM: 144 instead of 72 bits of a beat). Beats come in a small part of the cycles, as
    each takes several words of external memory. A beat is offered three cycles after it was taken
    in, at the earliest. Beats before their tile's ``i_tile`` wait. No output depends
    combinationally on any input.

    Parameters
    ----------
    width : int
        Bits of a beat.
    depth : int
        Beats.
    beats_width, repeats_width : int
        Bits of the counts in ``i_tile``.

    Members
    -------
    i_tile : ``In(stream.Signature(buffer_tile_layout(beats_width, repeats_width)))``
        What the next beats are; two of them wait.
    i : ``In(stream.Signature(width))``
    o : ``Out(stream.Signature(width))``
    too_long : ``Out(1)``
        A tile of several rounds had more than ``depth`` beats; it was given out once. It stays
        high until reset.
    """

    latency = 3

    def __init__(self, *, width: int, depth: int, beats_width: int = 24,
                 repeats_width: int = 16) -> None:
        for name, value in (("width", width), ("depth", depth)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Tile buffer {name} must be a positive integer, not {value!r}")
        self.depth = depth
        super().__init__({
            "i_tile": In(stream.Signature(buffer_tile_layout(beats_width, repeats_width))),
            "i": In(stream.Signature(width)),
            "o": Out(stream.Signature(width)),
            "too_long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        depth = self.depth

        m.submodules.memory = memory = Memory(shape=len(self.i.p), depth=depth, init=[])
        write_port, read_port = memory.write_port(), memory.read_port()
        address = Signal(range(depth))

        def following(place: Signal) -> Value:
            return Mux(place == depth - 1, 0, place + 1)

        # Take in: ``held`` beats lie from ``base`` on, and the next one goes to ``write``.
        base, read, write = (Signal(range(depth), name=name) for name in ("base", "read", "write"))
        held = Signal(range(depth + 1))
        has_room, full = Signal(init=1), Signal()   # of ``held``
        taken = Signal()
        freed, fills = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(has_room),
            taken.eq(self.i.valid & has_room & ~full),
            address.eq(Mux(taken, write, read)),
            write_port.addr.eq(address),
            write_port.data.eq(self.i.p),
            write_port.en.eq(taken),
            fills.eq(~freed & Mux(taken, held == depth - 1, full)),
        ]
        m.d.sync += [has_room.eq(~fills), full.eq(fills)]
        with m.If(taken):   # nothing is given out, hence freed, in this cycle
            m.d.sync += [write.eq(following(write)), held.eq(held + 1)]
        with m.Elif(freed):
            m.d.sync += held.eq(held - 1)

        # Walk: ``beat`` is the number of the next one of its round, ``round_`` that of the round,
        # both from 1; ``ahead`` beats lie from it on.
        tiles = queue_behind(m, "tiles", self.i_tile)
        tile = tiles.o.p
        beat = Signal.like(tile.beats, init=1)
        round_ = Signal.like(tile.repeats, init=1)
        ahead = Signal(range(depth + 1))
        is_there = Signal()   # ahead != 0
        shown, moves, shows = Signal(), Signal(), Signal()
        last_beat, last_round, gives = Signal(), Signal(), Signal()
        restarts = Signal()
        m.d.comb += [
            last_beat.eq(beat >= tile.beats),
            last_round.eq((round_ >= tile.repeats) | (tile.beats > depth)),
            # Not ``taken``, which goes to all of the memory: this does not wait for it.
            gives.eq(tiles.o.valid & is_there & shows & (full | ~self.i.valid)),
            freed.eq(gives & last_round), restarts.eq(last_beat & ~last_round),
            tiles.o.ready.eq(gives & last_beat & last_round),
            read_port.addr.eq(address),
            read_port.en.eq(gives),
        ]
        with m.If(taken):
            m.d.sync += [ahead.eq(ahead + 1), is_there.eq(1)]
        with m.Elif(gives):
            m.d.sync += [ahead.eq(Mux(restarts, held, ahead - 1)),
                         is_there.eq(restarts | (ahead != 1))]
        with m.If(gives):
            m.d.sync += [read.eq(Mux(restarts, base, following(read))), beat.eq(beat + 1)]
            with m.If(last_round):
                m.d.sync += base.eq(following(base))
            with m.If(last_beat):
                m.d.sync += [beat.eq(1), round_.eq(Mux(last_round, 1, round_ + 1))]
        with m.If(tiles.o.valid & (tile.repeats > 1) & (tile.beats > depth)):
            m.d.sync += self.too_long.eq(1)

        # Give out: a beat waits at the memory's output, which a write leaves alone, and moves on
        # into a register.
        m.d.comb += [moves.eq(~self.o.valid | self.o.ready), shows.eq(~shown | moves)]
        with m.If(shows):
            m.d.sync += shown.eq(gives)
        with m.If(moves):
            m.d.sync += self.o.valid.eq(shown)
            with m.If(shown):
                m.d.sync += self.o.p.eq(read_port.data)

        return m
