"""``trilobite self-test``: a board, from its registers to tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .console import Output, make_table
from .options import Board, Json

__all__ = ["self_test"]


@app.command(epilog="Example: trilobite self-test --on uart:/dev/ttyUSB0")
def self_test(
    on: Board = "sim",
    hardware: Annotated[str | None, typer.Option(
        help="An accelerator, or a .toml file. Default: what the board has; in sim, demo.")] = None,
    memory: Annotated[int, typer.Option(
        "--memory", metavar="BYTES", help="How much memory to write and read.")] = 1 << 20,
    json: Json = None,
) -> None:
    """Test registers, memory and every unit of an accelerator, with a small random model.

    Exits with 1 if a check did not pass. The JSON is what to send with a report.
    """
    from ..api.self_test import self_test as run_test

    output = Output(json)
    with output.status("Testing ..."):
        result = run_test(on, hardware, memory)
    table = make_table("check", "result", "seen")
    for check in result.checks:
        table.add_row(check.name, "passed" if check.passed else "FAILED", check.seen)
    output.show(table)
    if result.passed:
        output.print("[green]{} passes all {} checks.[/]", result.board, len(result.checks))
    else:
        failed = sum(not check.passed for check in result.checks)
        output.print("[red]{} of {} checks failed.[/]", failed, len(result.checks))
    output.json(result.to_json())
    if not result.passed:
        raise typer.Exit(1)
