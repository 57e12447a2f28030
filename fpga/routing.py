"""Streams that go different ways in different operations."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Module, Value

__all__ = ["route"]


def route(m: Module, source, sink, enabled: Value, payload: Callable = lambda p: p) -> None:
    """Connect the stream ``source`` to ``sink`` while ``enabled``; else it neither gives nor takes.

    Of several routes from one stream, or to one, at most one may be enabled. ``payload`` makes a
    beat of ``sink`` from one of ``source``.
    """
    with m.If(enabled):
        m.d.comb += [
            sink.p.eq(payload(source.p)), sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
