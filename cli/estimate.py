"""``trilobite estimate``: what a device will do with models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..errors import EstimateError
from .app import app
from .choices import command_class, descriptions_table
from .console import Output, make_table
from .options import Json
from .text import marked

if TYPE_CHECKING:
    from ..api.estimate import Estimates, RunComparison
    from ..sim.descriptions.quantity import Range

__all__ = ["estimate", "print_estimates"]


@app.command(
    epilog="Example: trilobite estimate bitnet-2b --device kv260 -o report.html",
    cls=command_class(descriptions_table),
)
def estimate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Model folders, GGUF files, demo-bitnet, or shapes (listed below).",
        ),
    ],
    device: Annotated[str, typer.Option(help="Device description, or a .toml file.")] = "kv260",
    hardware: Annotated[
        str | None,
        typer.Option(help="An accelerator, or a .toml file. In RTL (kv260, demo): its cycles are "
                          "predicted from its descriptors; else (tlmm-kv260): by formulas. "
                          "Default: the device's own accelerator, else tlmm-kv260."),
    ] = None,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 128,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens generated after it. Default: 128.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the report as one HTML file.")
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Measure the matmuls' cycles in RTL simulation first."),
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="Write what runs when as a Chrome trace (.json, .json.gz) for Perfetto."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write every operator as a line of a table.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="The --json of an earlier run, to compare with.")
    ] = None,
    processor: Annotated[
        str | None,
        typer.Option(help="On a SoC: cpu, gpu or npu. Default: the CPU, if it is described."),
    ] = None,
    stored: Annotated[
        str | None,
        typer.Option("--format", help="On a SoC: how the weights are stored, as files are named "
                                      "(q4_k_m, q8_0, f16, ...). Default: the checkpoint's own."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="On a SoC: what runs the model (llama.cpp, executorch, mlc, ...). "
                          "Default: the first one that reads the format there."),
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="On a SoC: tokens in the cache before the prompt.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="On a SoC: sequences that run together.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="On a SoC: minutes that it has been under load.")
    ] = None,
    kv: Annotated[
        str | None,
        typer.Option(help="On a SoC: type of the cache's keys and values: f16, q8_0, int8. "
                          "Default: f16."),
    ] = None,
    json: Json = None,
) -> None:
    """Estimate time to first token, tokens/s and joules/token on a device."""
    from ..api.estimate import THIS_MACHINE
    from ..api.estimate import estimate as run

    output = Output(json)
    if device == THIS_MACHINE:
        _refuse({"--hardware": hardware, "--output": report, "--simulate": simulate,
                 "--trace": trace, "--csv": csv, "--compare": compare, "--processor": processor,
                 "--format": stored, "--kv": kv, "--engine": engine, "--context": context,
                 "--batch": batch, "--minutes": minutes, "--tokens": tokens})
        _estimate_here(output, models, prompt)
        return
    with output.bar("Estimating") as bar:
        found = run(models, device, hardware, prompt, 128 if tokens is None else tokens, simulate,
                    compare, bar, processor, stored, kv, engine, context, batch, minutes)
    _print(output, found)
    for path, write, name in ((report, found.write_report, "Report"),
                              (csv, found.write_csv, "Table"),
                              (trace, found.write_trace, "Trace")):
        if path is not None:
            write(path)
            output.print("{}: {}", name, path)
    output.json(found.to_json())


def _refuse(options: Mapping[str, object]) -> None:
    """Refuse options that say nothing of the machine at hand."""
    if given := [option for option, value in options.items() if value not in (None, False)]:
        raise EstimateError(f"{', '.join(given)}: this-machine is estimated by the rates of its "
                            "kernels alone, as a table and --json")


def _estimate_here(output: Output, models: list[str], prompt: int) -> None:
    from ..api.estimate import estimate_here

    found = estimate_here(models, prompt)
    for warning in found.warnings:
        output.warn(warning)
    table = make_table("model", ">first token", ">decode",
                       title=f"{found.machine.name}, ternary weights, prompt {prompt}")
    for shape, result in found.results:
        table.add_row(shape.name, _ranged(result.first_token, "s"), _ranged(result.rate, "token/s"))
    output.show(table)
    output.json(found.to_json())


def _print(output: Output, found: Estimates) -> None:
    for warning in found.warnings:
        output.warn(warning)
    if found.simulation:
        from .verify_engine import print_report

        print_report(output, found.simulation.report)
    print_estimates(output, found)
    if found.comparison:
        _print_comparison(output, found.comparison)


def print_estimates(output: Output, found: Estimates) -> None:
    """Per model: nominal values, and under them the range over all constants' ranges."""
    first = found.results[0]
    table = make_table(
        "model", ">first token", ">decode", ">energy per token",
        title=f"{first.device_name}, {first.hardware_name}, prompt {first.prompt}, {first.tokens} "
              "tokens",
    )
    for result in found.results:
        table.add_row(
            result.model.name,
            _ranged(result.first_token, "s"),
            _ranged(result.rate, "token/s"),
            _ranged(result.decode_joules, "J"),
        )
    output.show(table)
    clock = first.clock
    if clock is not None and clock.kind == "analysed":
        output.print("Clock: analysed, nominal {:g} MHz, range {:g} to {:g} MHz.",
                     clock.nominal, clock.low, clock.high)
    if found.known:
        output.print("[dim]{}[/]", found.known)


def _print_comparison(output: Output, comparison: RunComparison) -> None:
    """Per model what changed since the earlier run."""
    from ..sim.report import digits, scaled

    for warning in comparison.warnings:
        output.warn(warning)
    for one in comparison.models:
        table = make_table("figure", ">before", ">now", ">change", title=one["model"])
        for figure in one["figures"]:
            factor, unit = scaled(figure["before"] or figure["now"], figure["unit"])
            ratio = figure["ratio"]
            colour = {True: "green", False: "red", None: "dim"}[figure["better"]]
            change = "-" if ratio is None else f"{100 * (ratio - 1):+.1f} %"
            table.add_row(figure["name"], f"{digits(figure['before'] * factor)} {unit}",
                          f"{digits(figure['now'] * factor)} {unit}", Text(change, colour))
        output.show(table)


def _ranged(value: Range, unit: str) -> Text:
    from ..api.estimate import range_text

    return marked("[bold]{}[/] {}\n[dim]{} to {}[/]", *range_text(value, unit))
