"""``trilobite study``: questions that were asked once, each answered by its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .console import Output, make_table
from .options import Json

if TYPE_CHECKING:
    from ..sim.studies.study import StudyTable

__all__ = ["study"]


@app.command(epilog="Example: trilobite study kv-direct")
def study(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which one; without it, all are listed.")
    ] = None,
    json: Json = None,
) -> None:
    """Answer a question that was asked once, by its tables."""
    from ..api.study import studies
    from ..api.study import study as compute

    output = Output(json)
    if name is None:
        table = make_table("study", "question")
        for one in studies():
            table.add_row(one.name, one.question)
        output.show(table)
        output.json({"studies": [{"study": one.name, "question": one.question}
                                 for one in studies()]})
        return
    with output.bar("Computing") as progress:
        result = compute(name, progress)
    for found in result.tables:
        _print(output, found)
    output.json(result.to_json())


def _print(output: Output, table: StudyTable) -> None:
    output.print("[bold]{}[/]", table.title)
    numbers = [all(isinstance(row[index], int | float) for row in table.rows)
               for index in range(len(table.columns))]
    shown = make_table(*(f">{column}" if number else column
                         for column, number in zip(table.columns, numbers, strict=True)))
    for row in table.rows:
        shown.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    output.show(shown)
