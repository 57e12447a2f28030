"""TPI-LLM's window: a token's time and the memory that it takes, by blocks in memory at once."""

from __future__ import annotations

from collections.abc import Iterator

from ....tools.progress import Progress
from ..study import StudyTable
from ..tensor_parallel import BlockTimes, link_term, stream_weights

__all__ = ["tables"]

# The paper's worked case: four laptops, a 7B model of 32 layers; seconds.
_TIMES = BlockTimes(
    attention=0.011, ffn=0.017, all_reduce=0.014, load_attention=0.018, load_ffn=0.030
)
_LAYERS = 32
_WINDOWS = (1, 2, 3, 4, 6, 8)
_NODES = (2, 4, 8, 16)


def tables(progress: Progress) -> Iterator[StudyTable]:
    """Time by window; latencies of an all-reduce by topology."""
    del progress
    ready = _LAYERS * _TIMES.layer
    rows = []
    for window in _WINDOWS:
        seconds = stream_weights(_TIMES, _LAYERS, window).makespan
        rows.append((window, round(1e3 * seconds, 1), f"{seconds / ready - 1:.1%}"))
    yield StudyTable(
        "A token of TPI-LLM's worked case (7B, four laptops), weights from flash",
        ("blocks in memory", "ms per token", "over weights that are there"), tuple(rows),
    )
    yield StudyTable(
        "Link latencies in one all-reduce over four hops",
        ("nodes", "star", "tree", "ring"),
        tuple((nodes, *(link_term(kind, nodes) for kind in ("star", "tree", "ring")))
              for nodes in _NODES),
    )
