"""Tensor parallelism over slow links with weights streamed from flash, after TPI-LLM.

Every layer has two blocks (attention, feed-forward), each followed by an all-reduce; weights of the
next blocks load meanwhile, into a window of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..events import Kind, System, Task, Timeline, Unit, simulate

__all__ = ["BlockTimes", "communication_time", "link_term", "stream_weights"]

Topology = Literal["star", "tree", "ring"]


def link_term(topology: Topology, nodes: int, hops: int = 4, depth: int = 2) -> int:
    """Link latencies in one all-reduce: messages in a row, each over ``hops`` links.

    A star sends to the middle and back; a tree of ``depth`` levels goes up and down; a ring goes
    round twice, less one step each.
    """
    messages = {"star": 2, "tree": 2 * depth, "ring": 2 * (nodes - 1)}
    return messages[topology] * hops


def communication_time(
    layers: int, data: float, link: float, barrier: float, aggregation: float
) -> float:
    """Seconds of communication per token: two all-reduces in each layer."""
    return 2 * layers * (data + link + barrier + aggregation)


@dataclass(frozen=True)
class BlockTimes:
    """Seconds of one layer: computing each block, one all-reduce, and loading each block."""

    attention: float
    ffn: float
    all_reduce: float
    load_attention: float
    load_ffn: float

    @property
    def is_tight(self) -> bool:
        """Whether each block's load hides behind the block before it: a window of two suffices."""
        return (
            self.attention + self.all_reduce >= self.load_ffn
            and self.ffn + self.all_reduce >= self.load_attention
        )

    @property
    def is_loose(self) -> bool:
        """Whether a layer's loads hide behind a layer: a larger window evens out the blocks."""
        return self.layer >= self.load_attention + self.load_ffn

    @property
    def layer(self) -> float:
        """Seconds of a layer whose weights are there."""
        return self.attention + self.ffn + 2 * self.all_reduce


def stream_weights(times: BlockTimes, layers: int, window: int) -> Timeline:
    """One token through ``layers`` layers, ``window`` blocks of weights in memory at once.

    A block loads once there is room: when the block ``window`` before it has been used.
    """
    blocks = [
        (times.attention, times.load_attention), (times.ffn, times.load_ffn),
    ] * layers
    system = System.of([Unit("CPU", Kind.CPU), Unit("flash reader", Kind.DMA)])
    return simulate(system, _tasks(blocks, times.all_reduce, window))


def _tasks(blocks: Sequence[tuple[float, float]], reduce: float, window: int) -> list[Task]:
    """Load and use of every block."""
    tasks = []
    for index, (compute, load) in enumerate(blocks):
        room = (f"use {index - window:04}",) if index >= window else ()
        tasks.append(Task(
            f"load {index:04}", "flash reader", compute=load, after=room, priority=(index,)
        ))
        tasks.append(Task(
            f"use {index:04}", "CPU", compute=compute + reduce, after=(f"load {index:04}",),
            priority=(index,),
        ))
    return tasks
