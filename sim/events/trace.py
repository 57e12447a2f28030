"""Timelines as a Chrome trace (https://ui.perfetto.dev opens it, offline builds too)."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...tools.files import write_output
from ...tools.json_text import json_text
from .timeline import Timeline

__all__ = ["chrome_trace", "write_trace"]


def chrome_trace(timelines: Mapping[str, Timeline]) -> dict[str, Any]:
    """One process per timeline, one thread per unit, a counter per channel; times in us."""
    events: list[dict[str, Any]] = []
    for process, (name, timeline) in enumerate(timelines.items(), start=1):
        events.append(_meta("process_name", process, 0, name))
        for thread, unit in enumerate(timeline.system.units.values(), start=1):
            events.append(_meta("thread_name", process, thread, unit.name))
            for span in timeline.on(unit.name):
                events.append({
                    "ph": "X", "pid": process, "tid": thread, "cat": str(unit.kind),
                    "name": span.task.label or span.task.name,
                    "ts": span.start * 1e6, "dur": (span.end - span.start) * 1e6,
                    "args": {
                        "task": span.task.name, "launch_us": span.task.start * 1e6,
                        "compute_us": span.task.compute * 1e6, "bytes": dict(span.task.transfers),
                    },
                })
        for load in timeline.loads:
            events += [
                {"ph": "C", "pid": process, "tid": 0, "name": f"{channel} [GB/s]",
                 "ts": load.time * 1e6, "args": {"GB/s": rate / 1e9}}
                for channel, rate in load.rates.items()
            ]
    return {"displayTimeUnit": "ms", "traceEvents": events}


def write_trace(timelines: Mapping[str, Timeline], path: Path) -> None:
    """Write the trace as JSON, compressed if the name ends in ``.gz``.

    Raises
    ------
    OutputError
        The file cannot be written, and is as it was before.
    """
    data = json_text(chrome_trace(timelines), indent=None).encode()
    write_output(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _meta(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    """The name of a process or a thread."""
    return {"ph": "M", "pid": process, "tid": thread, "name": kind, "args": {"name": name}}
