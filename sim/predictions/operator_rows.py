"""Which operator each descriptor of a program belongs to: the rows of predicted counters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...fpga.compiler import Program

__all__ = ["ATTENTION", "LM_HEAD", "OperatorRows"]

ATTENTION = "attention"
LM_HEAD = "lm_head"
_END = "end"   # of a step: its cycles are those of the operator before it


@dataclass(frozen=True)
class OperatorRows:
    """The operators of a program, in the order of its descriptors, those of a layer once.

    Counters of a step are [operators, counters]: a row for each of ``names``. ``before`` and
    ``after`` are how many of them run before the first layer and after the last one. ``late`` is
    the place, in a layer, of the operator before its last matmul.
    """

    names: tuple[str, ...]
    before: int
    after: int
    late: int

    @classmethod
    def of(cls, program: Program) -> OperatorRows:
        """The rows of ``program``, which has at least one layer."""
        named = [(descriptor, origin) for descriptor, origin in zip(
            program.descriptors, program.origins, strict=True) if origin.operator != _END]
        layer = [(descriptor, origin) for descriptor, origin in named if origin.layer == 0]
        before = next(place for place, (_, origin) in enumerate(named) if origin.layer == 0)
        after = len(named) - before - program.layers * len(layer)
        names = [origin.operator for _, origin in (
            *named[:before], *layer, *named[len(named) - after:])]
        late = max(place for place, (descriptor, _) in enumerate(layer) if descriptor.tiles) - 1
        return cls(tuple(names), before, after, late)

    @property
    def layer(self) -> slice:
        """Where the operators stand that every layer has."""
        return slice(self.before, len(self.names) - self.after)

    def split(self, program: Program, rows: np.ndarray,
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of descriptors by where they belong: before the layers, in them, after them.

        ``rows`` is [descriptors, counters]; gives [before, counters], [layers, operators of a
        layer, counters] and [after, counters], the row of ``END`` added to the one before it.
        """
        rows = rows.copy()
        ends = [place for place, origin in enumerate(program.origins) if origin.operator == _END]
        for place in ends:
            rows[place - 1] += rows[place]
        layers = np.array([-1 if origin.layer is None else origin.layer
                           for origin in program.origins])
        inside = np.stack([rows[layers == layer] for layer in range(program.layers)])
        outside = np.delete(rows, [*ends, *np.flatnonzero(layers >= 0)], axis=0)
        return outside[:self.before], inside, outside[self.before:]
