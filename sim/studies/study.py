"""A question that was asked once, and its answer as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ...errors import EstimateError
from ...tools.progress import Progress

__all__ = ["STUDIES", "Cell", "Study", "StudyTable", "find_study"]

Cell = str | int | float


@dataclass(frozen=True)
class StudyTable:
    """One table: a cell is a text, a count, or a number in its column's unit."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        """Refuse a row that does not have a cell for each column."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells for {len(self.columns)} columns")

    def to_json(self) -> dict[str, Any]:
        """JSON values: ``title``, ``columns``, ``rows``."""
        return {"title": self.title, "columns": list(self.columns),
                "rows": [list(row) for row in self.rows]}


@dataclass(frozen=True)
class Study:
    """A study by its name: what it asks, and the module of ``tables`` that answers.

    The module's ``tables(progress)`` yields each table as soon as it is known.
    """

    name: str
    question: str
    module: str

    def tables(self, progress: Progress) -> Iterator[StudyTable]:
        """Compute the tables; the module is imported now, since it may bring the runtime."""
        module = import_module(f".tables.{self.module}", __package__)
        compute: Callable[[Progress], Iterator[StudyTable]] = module.tables
        return compute(progress)


STUDIES = (
    Study("chunk-graphs", "What do chunks of a prompt save that share an NPU's graphs?",
          "chunk_graphs"),
    Study("cold-start", "How long is the first prefill after a model is opened?", "cold_start"),
    Study("kv-direct", "Do residuals take less memory than keys and values?", "kv_direct"),
    Study("measured", "How far are estimates of processors from published measurements?",
          "measured"),
    Study("shadow", "What does a shadow in float win back of per-tensor int8? (minutes)", "shadow"),
    Study("subgraph-order", "How far from the shortest schedule are orders of subgraphs? (minutes)",
          "subgraph_order"),
    Study("tensor-parallel", "How many blocks of weights must be in memory at once?",
          "tensor_parallel"),
    Study("validation", "How far are our figures from published ones?", "validation"),
)


def find_study(name: str) -> Study:
    """The study called ``name``; raises ``EstimateError`` if there is none."""
    for study in STUDIES:
        if study.name == name:
            return study
    known = ", ".join(study.name for study in STUDIES)
    raise EstimateError(f"There is no study {name!r}; known are {known}")
