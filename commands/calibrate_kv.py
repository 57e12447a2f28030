"""``trilobite calibrate-kv``."""

from __future__ import annotations

from pathlib import Path

from ..api.models import calibrate_kv, calibration
from ..cli.console import Output

__all__ = ["run"]


def run(
    output: Output, path: str, out: Path, text: Path | None, sequences: int, seed: int
) -> None:
    """Write the scales and say where."""
    with output.console.status("Measuring keys ..."):
        calibrate_kv(path, out, calibration(path, text, sequences, seed))
    output.print(f"Written to {out}: --kv-scales takes it", markup=False)
