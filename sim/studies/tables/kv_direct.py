"""Bytes and work of KV-Direct's residuals beside keys and values, for the bundled shapes."""

from __future__ import annotations

from collections.abc import Iterator

from ....model import LINEAR_NAMES
from ....tools.progress import Progress
from ...descriptions.shapes import load_shape, shape_names
from ..kv_direct import KvDirect
from ..study import StudyTable

__all__ = ["tables"]

_BYTES = 2   # of a stored value: float16


def tables(progress: Progress) -> Iterator[StudyTable]:
    """Bytes of one token, and the work of getting its keys and values back."""
    del progress
    sizes, work = [], []
    for name in shape_names():
        config = load_shape(name).config
        one = KvDirect(config.num_layers, config.hidden_size, config.num_kv_heads, config.head_dim,
                       _BYTES)
        layer = sum(M * K for M, K in map(config.linear_shape, LINEAR_NAMES))
        sizes.append((name, one.kv_bytes, one.checkpoint_bytes, one.residual_bytes))
        work.append((name, round(one.projection_flop / 1e6, 1),
                     round(one.replay_flop(config.num_layers * layer) / 1e6, 1)))
    yield StudyTable(
        "Bytes of one token in float16: its keys and values, or the residual of ...",
        ("shape", "keys and values", "one layer", "all layers"), tuple(sizes),
    )
    yield StudyTable(
        "MFLOP to get its keys and values back from the residual of ...",
        ("shape", "all layers", "one layer"), tuple(work),
    )
