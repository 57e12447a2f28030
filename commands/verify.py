"""``trilobite verify``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ..api.models import load
from ..cli.console import Output, make_table
from ..errors import TrilobiteError
from ..hw.matmul.parameters import TlmmParameters
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..quant.formats import Ternary
from ..quant.formats.base import PackedWeight
from ..sim.descriptions.hardware import load_hardware
from ..sim.verify.engine import Matrix, VerifyReport, verify_tlmm

__all__ = ["layer_matrices", "print_report", "run", "simulate", "simulation_tools"]


def run(
    output: Output, path: str, layer: int, prompt: str, tokens: int, simulator: str,
    stall: float, seed: int, waves: Path | None, hardware: str,
) -> bool:
    """Compare the engine with the runtime on one layer; whether every sum agreed."""
    if not 0.0 <= stall < 1.0:
        raise TrilobiteError(f"--stall is a probability below 1, not {stall}")
    parameters = load_hardware(hardware).tlmm.parameters()
    with output.console.status("Running the model ..."):
        matrices = layer_matrices(path, layer, prompt, tokens)
    report = simulate(output, matrices, parameters, simulator, stall, seed, waves)
    print_report(output, report)
    output.json({
        **report.to_json(), "model": path, "layer": layer, "tokens": tokens,
        "tokens_equal": report.mismatches == 0,
    })
    return report.mismatches == 0


def layer_matrices(path: str, layer: int, prompt: str, tokens: int) -> list[Matrix]:
    """The seven ternary matrices of ``layer`` with what the runtime feeds them and gets out.

    The activations are those of the first ``tokens`` tokens of ``prompt``.
    """
    if tokens < 1:
        raise TrilobiteError(f"At least 1 token is needed, not {tokens}")
    model = load(path)
    traces = model.trace(model.tokenizer.encode(prompt)[:tokens], layer)
    with open_checkpoint(path) as checkpoint:
        return [
            Matrix(trace.name, _trits(checkpoint, trace.name).codes().values,
                   trace.activations, trace.sums)
            for trace in traces
        ]


def _trits(checkpoint: Checkpoint, name: str) -> PackedWeight:
    weight = checkpoint.weight(f"{name}.weight")
    if not isinstance(weight, PackedWeight) or not isinstance(weight.format, Ternary):
        raise TrilobiteError(
            f"{checkpoint.folder}: {name} is not ternary, and the table-lookup engine multiplies "
            "ternary weights; quantize the model with --format ternary"
        )
    return weight


def simulate(
    output: Output, matrices: Sequence[Matrix], parameters: TlmmParameters,
    simulator: str = "verilator", stall: float = 0.3, seed: int = 0, waves: Path | None = None,
) -> VerifyReport:
    """``verify_tlmm`` with a progress bar."""
    with output.progress(f"Building the engine for {simulator}", 2 * len(matrices)) as advance:
        return verify_tlmm(
            matrices, parameters, simulator, stall, seed, waves,
            progress=lambda description, done, total: advance(done, description),
        )


def simulation_tools() -> dict[str, str]:
    """Versions of what ``simulate`` runs with where no other simulator is asked for."""
    return {name: version(name) for name in ("amaranth", "cocotb", "verilator")}


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
            f"[{colour}]{row.mismatches}[/]",
        )
    output.print(table)
    wrong = next((row for row in report.rows if row.first_mismatch), None)
    if wrong is None:
        sums = sum(row.M * row.N for row in report.rows)
        output.print(
            f"[green]All {sums:,} sums equal the runtime's[/], with random stalls and without "
            f"({report.simulator})."
        )
    else:
        first = wrong.first_mismatch
        output.print(
            f"[red]{wrong.name} ({wrong.M} x {wrong.K}) differs first at token {first.token}, "
            f"output {first.row}: expected {first.expected}, got {first.got}.[/]"
        )
