"""Where an accelerator's cycles come from, and what a report says of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:   # an estimate holds the source of its cycles
    from .results import Estimate

__all__ = ["CountingMethod", "CycleSource", "DetailTable", "TableRow"]


@dataclass(frozen=True)
class CountingMethod:
    """How figures are calculated, in the words of a report.

    ``cycles`` is what ``CycleSource.agreement`` says something of, ``design`` how much of the
    accelerator exists; ``terms`` are terms with their explanations.
    """

    cycles: str
    design: str
    terms: tuple[tuple[str, str], ...]
    not_modelled: tuple[str, ...]


@dataclass(frozen=True)
class TableRow:
    """A row: its head with a note, its figures, and how they were obtained where that differs."""

    head: str
    note: str
    figures: tuple[str, ...]
    obtained: str | None = None


@dataclass(frozen=True)
class DetailTable:
    """What a cost model shows of its cycles beside the operators; ``name`` is a short key."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[TableRow, ...]


class CycleSource(Protocol):
    """Where an accelerator's cycles come from."""

    @property
    def method(self) -> CountingMethod:
        """How figures are calculated with them."""
        ...

    @property
    def agreement(self) -> str:
        """How they compare with RTL simulation, as a clause for the report."""
        ...

    def table(self, estimates: Sequence[Estimate]) -> DetailTable:
        """Details of several estimates, all with cycles from this kind of source."""
        ...

    def to_json(self) -> dict[str, Any]:
        """``cycles`` of docs/reference/report.md."""
        ...
