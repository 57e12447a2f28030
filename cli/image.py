"""``trilobite image``: a model as an accelerator's memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import Output, bytes_text
from .options import Json, Model

__all__ = ["image"]


@app.command(epilog="Example: trilobite image demo-bitnet -o bitnet-image --hardware demo")
def image(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    hardware: Annotated[str, typer.Option(help="An accelerator, or a .toml file.")] = "demo",
    context: Annotated[int | None, typer.Option(
        help="Tokens of prompt and output. Default: all that fit.")] = None,
    overwrite: Annotated[bool, typer.Option(
        "--overwrite", help="Replace a folder that Trilobite wrote.")] = False,
    json: Json = None,
) -> None:
    """Compile a ternary model for an accelerator: the memory that a board's host loads.

    A board with another accelerator refuses the folder, which has its configuration's hash.
    """
    from ..api.image import image as write

    output = Output(json)
    with output.status("Compiling the model ..."):
        written = write(model, out, hardware, context, overwrite)
    for warning in written.warnings:
        output.print("{}", warning)
    output.print("{} of {} are loaded, with room for {:,} tokens; for the accelerator {} with the "
                 "hash {}", bytes_text(written.loaded_bytes), bytes_text(written.memory_bytes),
                 written.capacity, written.hardware, written.configuration)
    output.print("Written to {}", out)
    output.json(written.to_json())
