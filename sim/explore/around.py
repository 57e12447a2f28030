"""The accelerator around its engine, in the sizes that were synthesized."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..descriptions.formula_accelerator import FormulaAccelerator
from ..descriptions.quantity import Quantity

__all__ = ["FULL_LANES", "FULL_QUERIES", "Around"]

FULL_LANES = FULL_QUERIES = 4   # of the accelerator whose constants ``FormulaAccelerator`` has


@dataclass(frozen=True)
class Around:
    """All blocks but the engine.

    ``lanes`` float elements per cycle between matmuls, ``queries`` of attention at once; ``lut``
    and ``dsp`` are those of an accelerator with an engine of ``tables`` and ``columns``, and hold
    for engines up to that size.
    """

    lanes: int
    queries: int
    lut: int
    dsp: int
    tables: int
    columns: int

    def hardware(self, full: FormulaAccelerator) -> FormulaAccelerator:
        """``full`` with as much fewer vector lanes, integer lanes, and queries per reading."""
        def part(quantity: Quantity, numerator: int, denominator: int) -> Quantity:
            count = max(1, quantity.count * numerator // denominator)
            return dataclasses.replace(quantity, low=count, nominal=count, high=count)

        vector, integer = full.vector, full.integer
        return dataclasses.replace(
            full,
            vector=dataclasses.replace(vector, lanes=part(vector.lanes, self.lanes, FULL_LANES)),
            integer=dataclasses.replace(
                integer, lanes=part(integer.lanes, self.queries, FULL_QUERIES),
                query_rows=part(integer.query_rows, self.queries, FULL_QUERIES)),
        )

    @classmethod
    def read(cls, rows: list[dict[str, Any]]) -> Iterator[Around]:
        """Read the rows of a file. KeyError or TypeError if a row does not have the fields."""
        for row in rows:
            yield cls(**{field.name: int(row[field.name]) for field in dataclasses.fields(cls)})
