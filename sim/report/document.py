"""The report as files: ``report.html`` and ``report.json``, written whole or not at all."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import __version__
from ...tools.files import write_output
from ...tools.json_text import json_text
from ..formulas.results import Estimate, RequestEstimate
from ..processors.estimate import ProcessorEstimate
from .page import page
from .processor_page import processor_page

__all__ = ["report_json", "tool_versions", "write_json", "write_report"]


def tool_versions(tools: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions of Trilobite and Python, and of whatever else (a simulator) took part."""
    return {"trilobite": __version__, "python": platform.python_version(), **(tools or {})}


def report_json(
    estimates: Sequence[RequestEstimate], tools: Mapping[str, str] | None = None,
    compared: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What ``report.json`` holds; docs/reference/report.md documents its keys."""
    return {
        "tools": tool_versions(tools),
        "estimates": [estimate.to_json() for estimate in estimates],
        "compared": list(compared),
    }


def write_report(
    estimates: Sequence[RequestEstimate], path: str | Path, tools: Mapping[str, str] | None = None,
    compared: Sequence[Mapping[str, Any]] = (), known: str = "",
) -> None:
    """Write the HTML report of one or more estimates to ``path``; an older file is replaced.

    ``tools`` are versions to print beside Trilobite's own, by name; ``compared`` is what
    ``compare_runs`` gives; ``known`` says how far estimates are from measurements. The
    page is one file that needs nothing else.

    Raises
    ------
    OutputError
        The folder does not exist, or the file cannot be written. No half-written file is left.
    """
    versions = tool_versions(tools)
    processors = [each for each in estimates if isinstance(each, ProcessorEstimate)]
    boards = [each for each in estimates if isinstance(each, Estimate)]
    write_output(Path(path), page(boards, versions, compared, known) if boards
                 else processor_page(processors, versions, compared, known))


def write_json(
    estimates: Sequence[RequestEstimate], path: str | Path, tools: Mapping[str, str] | None = None
) -> None:
    """Write ``report_json`` to ``path``. Raises like ``write_report``."""
    write_output(Path(path), json_text(report_json(estimates, tools)) + "\n")
