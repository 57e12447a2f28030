"""From two checkpoints to low-bit models, to hardware verified on them, to a report.

    python examples/demo.py --out demo

Takes about five minutes on two cores and needs no network. Everything it prints it also
computes: the same functions as behind `trilobite quantize`, `generate`, `evaluate`, `verify` and
`estimate`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

import trilobite

QUANTIZED = (
    ("demo-bitnet", "ternary"),
    ("demo-llama", "int4"),
    ("demo-llama", "fp8"),
    ("demo-llama", "ternary"),
)
PROMPT = "def read_lines(path):\n"
LAYER = 1
SHAPES = ("bitnet-0.73b", "bitnet-2b")

console = Console(highlight=False, emoji=False)


class Bar(trilobite.Silent):
    """A progress bar that the library moves."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def start(self, total: float, what: str = "") -> None:
        """Work begins, in units of its own."""
        self._bars.update(self._task, total=total or 1, completed=0, description=what or None)

    def advance(self, amount: float = 1) -> None:
        """So much more is done."""
        self._bars.advance(self._task, amount)

    def doing(self, what: str) -> None:
        """Something else is being done now."""
        self._bars.update(self._task, description=what)


@contextmanager
def progress(label: str) -> Iterator[Bar]:
    """Show a bar while the block runs, on a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(),
               TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        yield Bar(bars, bars.add_task(label, total=None))


def step(number: int, title: str) -> None:
    """Print a heading."""
    console.rule(f"[bold]{number}. {title}[/]", align="left")


def make_table(*columns: str) -> Table:
    """An empty table; a column named ``>text`` is aligned right."""
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left",
                         no_wrap=right)
    return table


def size(nbytes: float) -> str:
    """Bytes in kB (10^3) or MB (10^6)."""
    return f"{nbytes / 1e3:.2f} kB" if nbytes < 1e6 else f"{nbytes / 1e6:.2f} MB"


def quantize_all(out: Path) -> dict[tuple[str, str], Path]:
    """Quantize each checkpoint; where each result lies."""
    table = make_table("model", "format", ">before", ">after", ">bits per linear weight")
    folders = {}
    warnings = []
    for source, name in QUANTIZED:
        folders[source, name] = out / f"{source}-{name}"
        with progress(f"Quantizing {source}") as bar:
            manifest = trilobite.quantize(
                source, folders[source, name], name, overwrite=True, progress=bar
            )
        totals = manifest.totals
        table.add_row(
            source, name, size(totals.bytes_before), size(totals.file_bytes),
            f"{totals.linear_bits_per_weight:.3f}",
        )
        warnings += [f"{source} as {name}: {warning}" for warning in manifest.warnings]
    console.print(table)
    for warning in warnings:
        console.print(Text.assemble(("Warning:", "bold yellow"), " ", warning))
    return folders


def run_all(folders: dict[tuple[str, str], Path]) -> None:
    """Perplexity before and after, and a continuation of the prompt by each model."""
    table = make_table("model", "format", ">perplexity", ">prefill tokens/s", ">decode tokens/s")
    texts = []
    models = [(source, "as trained", source) for source in dict.fromkeys(s for s, _ in QUANTIZED)]
    models += [(source, name, str(folder)) for (source, name), folder in folders.items()]
    for source, name, path in sorted(models, key=lambda row: row[0]):
        model = trilobite.load(path)
        model.warm_up()
        written = trilobite.generate(model, PROMPT, 64, temperature=0.7, top_k=40, seed=3)
        texts.append((source, name, written.text))
        began = time.perf_counter()
        with progress(f"Perplexity: {source}, {name}") as bar:
            result = trilobite.evaluate(model, progress=bar)
        prefill_rate = result.tokens / (time.perf_counter() - began)
        table.add_row(
            source, name, f"{result.perplexity:.2f}", f"{prefill_rate:,.0f}",
            f"{written.decode_rate:,.0f}" if written.decode_rate else "",
        )
    for source, name, text in texts:
        console.print(f"\n[bold]{source}, {name}:[/]")
        console.print(PROMPT, style="dim", end="", markup=False)
        console.print(text.rstrip(), markup=False)
    console.print()
    console.print(table)


def print_engine(rows: Sequence[Any]) -> None:
    """A line per matrix: cycles of the engine, simulated and by the formula, and wrong sums."""
    table = make_table("matrix", ">M x K", ">tokens", ">cycles", ">formula", ">stalled",
                       ">mismatches")
    for row in rows:
        table.add_row(
            row.name.rpartition(".")[2], f"{row.M} x {row.K}", str(row.N), f"{row.cycles:,}",
            f"{row.predicted_cycles:,}", f"{row.stalled_cycles:,}",
            Text(str(row.mismatches), "red" if row.mismatches else "green"),
        )
    console.print(table)


def verify_engine(bitnet: Path, models: Sequence[str]) -> None:
    """The table-lookup engine in RTL simulation: its sums, and its cycles on larger shapes."""
    with progress("Running the model") as bar:
        verified = trilobite.verify_engine(bitnet, LAYER, PROMPT, progress=bar)
    print_engine(verified.report.rows)
    print_verdict(verified.report)
    console.print("The matrices of the published models, random ternary weights, one token each:")
    with progress("Building the engine") as bar:
        timed = trilobite.time_engine(models, progress=bar)
    print_engine(timed.report.rows)
    print_verdict(timed.report)


def print_verdict(report: Any) -> None:
    """Say that all sums are equal, or end."""
    if report.mismatches:
        raise SystemExit("The hardware differs from the runtime.")
    sums = sum(row.M * row.N for row in report.rows)
    console.print(f"[green]All {sums:,} sums equal the runtime's[/], with random stalls and "
                  f"without ({report.simulator}).")


def print_estimates(results: Sequence[Any]) -> None:
    """Per model the nominal values, and under them the range over all constants' ranges."""
    first = results[0]
    table = make_table("model", ">first token", ">decode", ">energy per token")
    table.title = (f"{first.device.name}, {first.hardware.name}, prompt {first.prompt}, "
                   f"{first.tokens} tokens")
    for result in results:
        figures = ((result.first_token, "s"), (result.rate, "token/s"), (result.decode_joules, "J"))
        table.add_row(result.model.name, *(
            "[bold]{}[/] {}\n[dim]{} to {}[/]".format(*trilobite.range_text(value, unit))
            for value, unit in figures
        ))
    console.print(table)


def main() -> None:
    """Run the four steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    models = ["demo-bitnet", *SHAPES]

    step(1, "Quantize the shipped checkpoints")
    folders = quantize_all(out)

    step(2, "Run them: text, and perplexity on held-out modules")
    run_all(folders)

    step(3, f"Simulate the table-lookup engine on layer {LAYER} of demo-bitnet")
    verify_engine(folders["demo-bitnet", "ternary"], models)

    step(4, "Estimate the KV260: the cycles of the whole accelerator, predicted")
    with progress("Estimating") as bar:
        estimates = trilobite.estimate(models, hardware="kv260", progress=bar)
    print_estimates(estimates.results)
    estimates.write_report(out / "report.html")
    estimates.write_json(out / "report.json")
    console.print(f"Open {out / 'report.html'} in a browser; the same numbers are in report.json.")
    console.print(f"[dim]{time.monotonic() - began:.0f} s[/]")


if __name__ == "__main__":
    main()
