"""Traces of requests: read from a file, or drawn from a seed."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EstimateError
from ...tools.files import read_text_bounded
from ...tools.json_text import parse_json

__all__ = ["Request", "generate_requests", "read_requests"]

_FIELDS = ("arrival", "prompt", "output")
_LARGEST_FILE = 64 << 20   # bytes; a million requests take half of it
_LONGEST = 1 << 24         # tokens
_LATEST = 1e9              # seconds, 31 years


@dataclass(frozen=True, slots=True)
class Request:
    """``prompt`` tokens that arrive ``arrival`` seconds after the start and ask for ``output``.

    Raises
    ------
    EstimateError
        The arrival is negative or after 10^9 s, or a length is below 1 or above 2^24.
    """

    arrival: float
    prompt: int
    output: int

    def __post_init__(self) -> None:
        if not 0 <= self.arrival <= _LATEST:
            raise EstimateError(
                f"arrival must be at least 0 seconds and at most {_LATEST:g}, not {self.arrival}")
        for name in ("prompt", "output"):
            if not 1 <= (value := getattr(self, name)) <= _LONGEST:
                raise EstimateError(f"{name} must be 1 to {_LONGEST} tokens, not {value}")


def read_requests(path: Path) -> list[Request]:
    """Read a .csv file with a header, or a .jsonl file: ``arrival`` [s], ``prompt``, ``output``.

    Requests come back in order of arrival.

    Raises
    ------
    EstimateError
        The file is missing, too large, of another kind, empty or malformed; the message names the
        line.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise EstimateError(f"{path}: a trace of requests is a .csv or a .jsonl file")
    text = read_text_bounded(path, _LARGEST_FILE, EstimateError)
    rows = _csv_rows(text, path) if path.suffix == ".csv" else _json_rows(text, path)
    if not rows:
        raise EstimateError(f"{path} holds no request")
    return sorted(
        (_request(row, f"{path}: line {line}") for line, row in rows),
        key=lambda request: request.arrival,
    )


def generate_requests(
    count: int, rate: float, prompt: int, output: int, seed: int = 0
) -> list[Request]:
    """Draw ``count`` requests: Poisson arrivals, ``rate`` per second; mean lengths as given.

    Lengths are uniform from half to one and a half times their mean.

    Raises
    ------
    EstimateError
        A number is not positive, the seed is negative, or a length is too large for a request.
    """
    if not 1 <= count <= 1_000_000 or not (math.isfinite(rate) and rate > 0):
        raise EstimateError(
            f"1 to 1000000 requests at a positive rate can be drawn, not {count} at {rate} per s"
        )
    if min(prompt, output) < 1 or max(prompt, output) > _LONGEST // 2:
        raise EstimateError(
            f"mean lengths must be 1 to {_LONGEST // 2} tokens, not {prompt} and {output}"
        )
    if seed < 0:
        raise EstimateError(f"the seed must not be negative, and is {seed}")
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / rate, count))
    lengths = [
        random.integers(max(1, mean - mean // 2), mean + mean // 2, count, endpoint=True)
        for mean in (prompt, output)
    ]
    return [
        Request(float(arrival), int(P), int(N))
        for arrival, P, N in zip(arrivals, *lengths, strict=True)
    ]


def _csv_rows(text: str, path: Path) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text))
    try:
        if sorted(reader.fieldnames or ()) != sorted(_FIELDS):
            raise EstimateError(f"{path}: the first line must be {','.join(_FIELDS)}")
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:   # a field of more than 128 KiB
        raise EstimateError(f"{path}: line {reader.line_num + 1} is not CSV: {error}") from None


def _json_rows(text: str, path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise EstimateError(f"{path}: line {number} is not JSON: {error}") from None
        if not isinstance(row, dict) or set(row) != set(_FIELDS):
            raise EstimateError(
                f"{path}: line {number} must be an object of {', '.join(_FIELDS)}"
            )
        rows.append((number, row))
    return rows


def _request(row: dict[str, Any], where: str) -> Request:
    if len(row) != len(_FIELDS):
        raise EstimateError(f"{where}: there must be {len(_FIELDS)} values, no more")
    try:
        lengths = {name: int(str(row[name])) for name in ("prompt", "output")}
        return Request(float(str(row["arrival"])), **lengths)
    except ValueError:
        raise EstimateError(
            f"{where}: arrival must be a number, prompt and output integers"
        ) from None
    except EstimateError as error:
        raise EstimateError(f"{where}: {error}") from None
