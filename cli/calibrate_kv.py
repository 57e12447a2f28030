"""``trilobite calibrate-kv``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import Output
from .options import Model

__all__ = ["calibrate_kv"]


@app.command("calibrate-kv", epilog="Example: trilobite calibrate-kv demo-llama -o keys.st")
def calibrate_kv(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    calibration: Annotated[
        Path | None, typer.Option(help="UTF-8 text. The demo models have their own.")
    ] = None,
    sequences: Annotated[int, typer.Option(help="Pieces of 512 tokens.")] = 16,
    seed: Annotated[int, typer.Option(help="Which pieces of the text.")] = 0,
) -> None:
    """Measure static scales of key channels on text, for --kv-scales."""
    from ..api.models import calibrate_kv as measure
    from ..api.models import calibration as choose_text

    output = Output()
    with output.bar("Measuring keys") as bar:
        result = measure(model, out, choose_text(model, calibration, sequences, seed), bar)
    output.print("Written to {}: --kv-scales takes it", result.file)
