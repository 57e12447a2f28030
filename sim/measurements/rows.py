"""The published measurements: what was measured on which device, and where that stands.

``rows.csv`` has a line for each value, as it stands in its source; ``second_hand`` names the text
that it was read in where that is not the source itself, and ``note`` what had to be assumed.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PHASES", "Measurement", "measurements"]

_FILE = Path(__file__).with_name("rows.csv")
PHASES = {"prefill": "token/s", "first-token": "s", "decode": "token/s", "power": "W"}


@dataclass(frozen=True)
class Measurement:
    """One value. ``prompt``: tokens of a prefill; ``context``: positions of a decode step.

    ``mode``: power mode, board or phone, where it is said.
    """

    device: str
    mode: str
    processor: str
    engine: str
    model: str
    format: str
    phase: str
    prompt: int
    context: int
    value: float
    unit: str
    source: str
    where: str
    second_hand: str
    note: str

    @property
    def is_held_out(self) -> bool:
        """Whether no constant may be fitted to it.

        All rows of a source go one way: to the held out ones where the first byte of the SHA-256 of
        the source's text is odd. The rule was set before anything was fitted.
        """
        return hashlib.sha256(self.source.encode()).digest()[0] % 2 == 1


@cache
def measurements() -> tuple[Measurement, ...]:
    """All rows, in the order of the file."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple(Measurement(**row | {   # type: ignore[arg-type]
            "prompt": int(row["prompt"]), "context": int(row["context"]),
            "value": float(row["value"])}) for row in csv.DictReader(file))
