"""From two checkpoints to low-bit models, to hardware verified on them, to a report.

    python examples/demo.py --out demo

Takes about five minutes on two cores and needs no network. Everything it prints it also
computes: the same functions as behind `trilobite quantize`, `generate`, `evaluate`, `verify` and
`estimate`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import trilobite
from trilobite.cli.console import Output, bytes_text, make_table
from trilobite.cli.estimate import print_estimates
from trilobite.cli.verify_engine import print_report

QUANTIZED = (
    ("demo-bitnet", "ternary"),
    ("demo-llama", "int4"),
    ("demo-llama", "fp8"),
    ("demo-llama", "ternary"),
)
PROMPT = "def read_lines(path):\n"
LAYER = 1
SHAPES = ("bitnet-0.73b", "bitnet-2b")


def step(output: Output, number: int, title: str) -> None:
    """Print a heading."""
    output.console.rule(f"[bold]{number}. {title}[/]", align="left")


def quantize_all(output: Output, out: Path) -> dict[tuple[str, str], Path]:
    """Quantize each checkpoint; where each result lies."""
    table = make_table("model", "format", ">before", ">after", ">bits per linear weight")
    folders = {}
    warnings = []
    for source, name in QUANTIZED:
        folders[source, name] = out / f"{source}-{name}"
        with output.bar(f"Quantizing {source}") as bar:
            manifest = trilobite.quantize(
                source, folders[source, name], name, overwrite=True, progress=bar
            )
        totals = manifest.totals
        table.add_row(
            source, name, bytes_text(totals.bytes_before), bytes_text(totals.file_bytes),
            f"{totals.linear_bits_per_weight:.3f}",
        )
        warnings += [f"{source} as {name}: {warning}" for warning in manifest.warnings]
    output.print(table)
    for warning in warnings:
        output.warn(warning)
    return folders


def run_all(output: Output, folders: dict[tuple[str, str], Path]) -> None:
    """Perplexity before and after, and a continuation of the prompt by each model."""
    table = make_table("model", "format", ">perplexity", ">prefill tokens/s", ">decode tokens/s")
    texts = []
    models = [(source, "as trained", source) for source in dict.fromkeys(s for s, _ in QUANTIZED)]
    models += [(source, name, str(folder)) for (source, name), folder in folders.items()]
    for source, name, path in sorted(models, key=lambda row: row[0]):
        model = trilobite.load(path)
        model.warm_up()
        generation = model.generate(PROMPT, max_new_tokens=64, temperature=0.7, top_k=40, seed=3)
        texts.append((source, name, "".join(generation)))
        began = time.perf_counter()
        with output.bar(f"Perplexity: {source}, {name}") as bar:
            result = trilobite.evaluate(model, progress=bar)
        prefill_rate = result.tokens / (time.perf_counter() - began)
        table.add_row(
            source, name, f"{result.perplexity:.2f}", f"{prefill_rate:,.0f}",
            f"{generation.decode_rate:,.0f}",
        )
    for source, name, text in texts:
        output.print(f"\n[bold]{source}, {name}:[/]")
        output.print(PROMPT, style="dim", end="", markup=False)
        output.print(text.rstrip(), markup=False)
    output.print()
    output.print(table)


def main() -> None:
    """Run the four steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    output = Output()
    began = time.monotonic()

    step(output, 1, "Quantize the shipped checkpoints")
    folders = quantize_all(output, out)

    step(output, 2, "Run them: text, and perplexity on held-out modules")
    run_all(output, folders)

    step(output, 3, f"Simulate the table-lookup engine on layer {LAYER} of demo-bitnet")
    bitnet = folders["demo-bitnet", "ternary"]
    with output.bar("Running the model") as bar:
        verified = trilobite.verify_engine(bitnet, LAYER, PROMPT, progress=bar)
    print_report(output, verified.report)

    models = ["demo-bitnet", *SHAPES]
    output.print("The matrices of the published models, random ternary weights, one token each:")
    with output.bar("Building the engine") as bar:
        timed = trilobite.time_engine(models, progress=bar)
    print_report(output, timed.report)
    if not verified.equal or timed.report.mismatches:
        raise SystemExit("The hardware differs from the runtime.")

    step(output, 4, "Estimate the KV260: the cycles of the whole accelerator, predicted")
    with output.bar("Estimating") as bar:
        estimates = trilobite.estimate(models, hardware="kv260", progress=bar)
    print_estimates(output, estimates)
    estimates.write_report(out / "report.html")
    estimates.write_json(out / "report.json")
    output.print(f"Open {out / 'report.html'} in a browser; the same numbers are in report.json.")
    output.print(f"[dim]{time.monotonic() - began:.0f} s[/]")


if __name__ == "__main__":
    main()
