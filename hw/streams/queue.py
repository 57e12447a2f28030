"""A queue before an output stream."""

from __future__ import annotations

from amaranth.hdl import Module, Value
from amaranth.lib.fifo import SyncFIFO

__all__ = ["queue_before"]


def queue_before(m: Module, name: str, port, depth: int = 2) -> SyncFIFO:
    """Add a queue of ``depth`` beats to ``m`` that feeds the output stream ``port``.

    Returns the queue, to be filled through ``w_data`` and ``w_en`` while ``w_rdy``. Who fills
    several streams at once waits until all of them have room, whatever their readers do.
    """
    m.submodules[name] = queue = SyncFIFO(width=len(Value.cast(port.p)), depth=depth)
    m.d.comb += [port.p.eq(queue.r_data), port.valid.eq(queue.r_rdy), queue.r_en.eq(port.ready)]
    return queue
