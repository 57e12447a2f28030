"""What the accelerator counts of itself."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from .sequencer import OPERATIONS

__all__ = ["COUNTERS", "WIDTH", "Counters", "events_layout"]

WIDTH = 40

# By name, what adds one in a cycle.
COUNTERS: dict[str, str] = {
    "cycles": "a run is under way",
    **{f"{operation.name.lower()}_cycles": f"a {operation.name} is being done"
       for operation in OPERATIONS},
    "read_words": "a word came from memory",
    "write_words": "a word went to memory",
    "memory_waits": "words were asked for and none came",
    "weight_beats": "the matmul engine took a beat of weights",
    "engine_waits": "a MATMUL was being done and the engine took no weights",
    "table_passes": "the matmul engine took activations for its tables",
    "attention_words": "attention took a word of the cache",
    "head_words": "the head took a word of the vocabulary",
    "tokens": "a token was chosen",
}


def events_layout() -> data.StructLayout:
    """A bit for each counter: count this cycle."""
    return data.StructLayout(dict.fromkeys(COUNTERS, 1))


class Counters(Component):
    """A counter of ``WIDTH`` bits for each of ``COUNTERS``.

    Members
    -------
    i : ``In(events_layout())``
        Which ones count.
    clear : ``In(1)``
        Back to 0.
    o : ``Out(StructLayout)``
        The counts.
    """

    def __init__(self) -> None:
        super().__init__({
            "i": In(events_layout()), "clear": In(1),
            "o": Out(data.StructLayout(dict.fromkeys(COUNTERS, WIDTH))),
        })

    def elaborate(self, platform):
        m = Module()
        for name in COUNTERS:
            count = getattr(self.o, name)
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            with m.Elif(getattr(self.i, name)):
                m.d.sync += count.eq(count + 1)
        return m
