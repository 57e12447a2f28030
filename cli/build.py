"""``trilobite build``: a model on a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .console import Output, make_table
from .options import Json, Model

if TYPE_CHECKING:
    from ..api.build import Build

__all__ = ["build"]


@app.command(epilog="Example: trilobite build demo-bitnet --board ulx3s-85f -o board")
def build(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
    board: Annotated[str, typer.Option(metavar="BOARD", help="The board.")] = "ulx3s-85f",
    clock: Annotated[
        int | None,
        typer.Option(metavar="MHZ", help="The clock of the logic; default 40, of the bare board "
                     "50, of the kv260 250."),
    ] = None,
    capacity: Annotated[
        int | None,
        typer.Option(metavar="TOKENS", help="Room for so many tokens, prompt and output together. "
                     "Default: as many as model and board have."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.")
    ] = False,
    json: Json = None,
) -> None:
    """Make a model's memory image, and a bitstream with open tools (kv260: what Vivado needs)."""
    from ..api.build import build as make

    output = Output(json)
    with output.bar("Compiling the model") as bar:
        made = make(model, out, board, clock, capacity, overwrite, bar)
    _print(output, made)
    output.json(made.to_json())


def _print(output: Output, made: Build) -> None:
    for warning in made.warnings:
        output.print("{}", warning)
    if made.achieved is None:
        output.print("{}: {} files for {} MHz, and an image of {:,} bytes for {:,} tokens; "
                     "README.md says how Vivado makes the bitstream of them", made.folder,
                     len(made.files), made.clock, made.image_bytes, made.capacity)
        return
    table = make_table("resource", ">used", ">of", ">%")
    for name, (used, available) in made.resources.items():
        table.add_row(name, f"{used:,}", f"{available:,}", f"{100 * used / available:.0f}")
    output.show(table)
    output.print(
        "Routed for {} MHz, of which static timing analysis finds {:.1f} MHz; the slowest path, "
        "{} ns of logic and {} ns of routing, leads from {} to {}", made.clock, made.achieved,
        made.path["logic"], made.path["routing"], made.path["from"], made.path["to"])
    output.print("{}: {}.bit, and an image of {:,} bytes for {:,} tokens", made.folder, made.board,
                 made.image_bytes, made.capacity)
