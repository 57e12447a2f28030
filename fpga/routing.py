"""Streams that go different ways in different operations."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Module, Value
from amaranth.lib import data

__all__ = ["route"]


def route(m: Module, source, sink, enabled: Value, payload: Callable = lambda p: p,
          chosen: Value | None = None) -> None:
    """Connect the stream ``source`` to ``sink`` while ``enabled``; else it neither gives nor takes.

    Of several routes from one stream, or to one, at most one may be enabled. ``payload`` makes a
    beat of ``sink`` from one of ``source``. ``chosen`` is ``enabled`` once more, for the many bits
    of a beat: so no path of the handshake, or of ``last``, begins at what goes to all of them.
    """
    beat = payload(source.p)
    wide, narrow = [sink.p.eq(beat)], []
    if isinstance(sink.p, data.View) and "last" in dict(sink.p.shape()):
        members = [name for name, _ in sink.p.shape() if name != "last"]
        wide = [sink.p[name].eq(beat[name]) for name in members]
        narrow = [sink.p.last.eq(beat.last)]
    with m.If(enabled):
        m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready), *narrow]
    with m.If(enabled if chosen is None else chosen):
        m.d.comb += wide
