"""The rotary tables of a model, of whatever length is needed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model import ModelConfig, Rope
from ..numerics import query_factors, rope_rows

__all__ = ["RopeTables", "Rotations"]

# The tables grow by this many positions: a long-context model's whole table would take more memory
# than a short session needs.
_STEP = 1024


@dataclass(frozen=True)
class Rotations:
    """What N tokens' queries and keys are turned by in one layer.

    ``cosine`` and ``sine`` float32 [N, width / 2]; ``queries`` float32 [N, 1, 1] multiplies the
    queries before, or None.
    """

    cosine: np.ndarray
    sine: np.ndarray
    queries: np.ndarray | None = None


class RopeTables:
    """``rotations`` of the layers of ``config``, for passes that several threads may make."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._of_layers = [config.rope(layer) for layer in range(config.num_layers)]
        self._ropes = set(self._of_layers)
        self._tables: dict[tuple[Rope, bool], tuple[np.ndarray, np.ndarray]] = {}
        self._rows(0, _STEP, 1)

    def rotations(self, start: int, stop: int, length: int | None = None) -> list[Rotations]:
        """By layer, for the tokens at ``start`` to ``stop - 1`` of a sequence of ``length``.

        Without ``length``, they are the last ones.
        """
        return self._by_layer(self._rows(start, stop, length or stop), np.arange(start, stop))

    def each(self, starts: np.ndarray) -> list[Rotations]:
        """By layer, for the last tokens, at int ``starts`` [B], of B sequences."""
        rows = [self._rows(start, start + 1, start + 1) for start in starts.tolist()]
        joined = {
            rope: (np.concatenate([row[rope][0] for row in rows]),
                   np.concatenate([row[rope][1] for row in rows]))
            for rope in rows[0]
        }
        return self._by_layer(joined, starts)

    def turns_again(self, before: int, length: int) -> bool:
        """Whether keys of a sequence of ``before`` tokens are wrong in one of ``length``.

        LongRoPE's are, where it leaves the original context.
        """
        return before > 0 and any(
            _is_long(rope, before) != _is_long(rope, length) for rope in self._ropes
        )

    def _by_layer(
        self, rows: dict[Rope, tuple[np.ndarray, np.ndarray]], positions: np.ndarray
    ) -> list[Rotations]:
        queries = None
        if self._config.query_growth:
            queries = query_factors(self._config, positions)[:, None, None]
        made = {rope: Rotations(*tables, queries) for rope, tables in rows.items()}
        return [made[rope] for rope in self._of_layers]

    def _rows(
        self, start: int, stop: int, length: int
    ) -> dict[Rope, tuple[np.ndarray, np.ndarray]]:
        """Cosine and sine rows of each rotary embedding."""
        return {rope: self._rows_of(rope, start, stop, length) for rope in self._ropes}

    def _rows_of(
        self, rope: Rope, start: int, stop: int, length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        scaling = rope.scaling
        if (scaling is not None and scaling.kind == "dynamic"
                and length > scaling.original_max_position_embeddings):
            return rope_rows(rope, np.arange(start, stop), length)
        key = (rope, _is_long(rope, length))
        tables = self._tables.get(key)
        if tables is None or stop > len(tables[0]):
            rounded = -(-stop // _STEP) * _STEP
            tables = rope_rows(rope, np.arange(rounded), length)
            kept = self._tables.get(key)
            if kept is None or rounded > len(kept[0]):   # another thread may have gone further
                self._tables[key] = tables
        return tables[0][start:stop], tables[1][start:stop]


def _is_long(rope: Rope, length: int) -> bool:
    """Whether a sequence of ``length`` is beyond what LongRoPE calls short."""
    scaling = rope.scaling
    return (scaling is not None and scaling.kind == "longrope"
            and length > scaling.original_max_position_embeddings)
