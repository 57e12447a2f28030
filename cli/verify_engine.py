"""``trilobite verify engine``: every sum of a layer's matmuls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .console import Output, make_table
from .options import Json, Model, Prompt, Simulator, Waves

if TYPE_CHECKING:
    from ..sim.verify.engine import VerifyReport

__all__ = ["print_report", "verify_engine"]


def verify_engine(
    model: Model,
    layer: Annotated[int, typer.Option(help="The decoder layer whose matrices are taken.")] = 0,
    prompt: Prompt = "def main(arguments):",
    tokens: Annotated[int, typer.Option(help="How many of the prompt's tokens.")] = 4,
    simulator: Annotated[
        Simulator, typer.Option(help="Which simulator runs the Verilog.")
    ] = Simulator.VERILATOR,
    stall: Annotated[float, typer.Option(help="Chance of a stall per stream and cycle.")] = 0.3,
    seed: Annotated[int, typer.Option(help="Seed of the stalls.")] = 0,
    waves: Waves = None,
    hardware: Annotated[
        str, typer.Option(help="An accelerator, or a .toml file.")
    ] = "tlmm-kv260",
    json: Json = None,
) -> None:
    """Compare the table-lookup engine with the runtime on one layer's matrices, sum by sum."""
    from ..api.verify import verify_engine as simulate

    output = Output(json)
    with output.bar("Running the model") as bar:
        verified = simulate(model, layer, prompt, tokens, simulator.value, stall, seed, waves,
                            hardware, bar)
    print_report(output, verified.report)
    output.json(verified.to_json())
    if not verified.equal:
        raise typer.Exit(1)


def print_report(output: Output, report: VerifyReport) -> None:
    """A line per matrix, and the first sum that differs if one does."""
    table = make_table(
        "matrix", ">M x K", ">tokens", ">cycles", ">formula", ">stalled", ">mismatches"
    )
    for row in report.rows:
        colour = "red" if row.mismatches else "green"
        table.add_row(
            row.name.rpartition(".")[2], f"{row.M} x {row.K}", str(row.N),
            f"{row.cycles:,}", f"{row.predicted_cycles:,}", f"{row.stalled_cycles:,}",
            Text(str(row.mismatches), colour),
        )
    output.show(table)
    wrong = [(row, row.first_mismatch) for row in report.rows if row.first_mismatch]
    if not wrong:
        sums = sum(row.M * row.N for row in report.rows)
        output.print(
            "[green]All {:,} sums equal the runtime's[/], with random stalls and without ({}).",
            sums, report.simulator
        )
    else:
        row, first = wrong[0]
        output.print(
            "[red]{} ({} x {}) differs first at token {}, output {}: expected {}, got {}.[/]",
            row.name, row.M, row.K, first.token, first.row, first.expected, first.got
        )
