"""Questions that were asked once, each answered by its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..sim.studies.study import STUDIES, Study, StudyTable, find_study
from ..tools.progress import SILENT, Progress

__all__ = ["StudyResult", "studies", "study"]


@dataclass(frozen=True)
class StudyResult:
    """A study and its tables."""

    study: Study
    tables: tuple[StudyTable, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values: ``study``, ``question``, ``tables``."""
        return {"study": self.study.name, "question": self.study.question,
                "tables": [table.to_json() for table in self.tables]}


def studies() -> tuple[Study, ...]:
    """All studies, by name."""
    return STUDIES


def study(name: str, progress: Progress = SILENT) -> StudyResult:
    """Compute the tables of a study; ``progress`` is told each one as ``finished``.

    Raises
    ------
    EstimateError
        There is no study of that name.
    """
    found = find_study(name)
    tables = []
    for table in found.tables(progress):
        tables.append(table)
        progress.finished(table)
    return StudyResult(found, tuple(tables))
