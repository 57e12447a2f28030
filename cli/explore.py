"""``trilobite explore``: many accelerators at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EstimateError
from .app import app
from .choices import command_class, descriptions_table
from .console import Output, make_table
from .options import Json

if TYPE_CHECKING:
    from ..api.explore import Exploration
    from ..api.explore_checks import DesignChecks
    from ..sim.explore import Found

__all__ = ["explore"]


@app.command(
    epilog="Example: trilobite explore bitnet-0.73b --max-power 5 --max-lut-share 0.7",
    cls=command_class(descriptions_table),
)
def explore(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A model folder, or demo-bitnet.")
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Instead of MODEL: a bundled shape.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="Device description, or a .toml file; again for more. Default: kv260."),
    ] = None,
    hardware: Annotated[
        str, typer.Option(help="What the designs share: an accelerator, or a .toml file.")
    ] = "tlmm-kv260",
    format: Annotated[
        list[str] | None,
        typer.Option(help="Of the weights: ternary or int4-fp8; again for more. Default: both."),
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="At least so many designs. Default: a million, or all.")
    ] = None,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 128,
    tokens: Annotated[int, typer.Option(help="Tokens generated.")] = 128,
    max_power: Annotated[
        float, typer.Option(help="Watts, in prefill and decode.")
    ] = float("inf"),
    max_lut_share: Annotated[
        float, typer.Option(help="Part of the device's LUT that can be routed.")
    ] = 0.85,
    max_pause: Annotated[
        float, typer.Option(help="Seconds that a prompt may keep another request waiting.")
    ] = float("inf"),
    best: Annotated[
        str, typer.Option(help="What the answer names the best in: rate, first-token, energy, lut "
                          "or perplexity.")
    ] = "rate",
    perplexities: Annotated[
        Path | None, typer.Option(help="Of your own model, from benchmarks/explored_formats.py.")
    ] = None,
    check: Annotated[
        int, typer.Option(help="Simulate the engines of so many of the front's designs.")
    ] = 0,
    check_accelerators: Annotated[
        bool,
        typer.Option("--check-accelerators", help="With --check: simulate their whole "
                     "accelerators, too, with a small model (minutes each)."),
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that simulate.")] = 2,
    cluster: Annotated[
        str | None, typer.Option(help="Simulate by submitit: slurm, local or debug.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the front as an HTML page.")
    ] = None,
    top: Annotated[int, typer.Option(help="Rows of the table.")] = 10,
    json: Json = None,
) -> None:
    """Compare a million accelerators: the designs of the Pareto front, and the best in limits."""
    from ..api.explore import explore as search
    from ..api.explore_checks import Checking, check_designs
    from ..sim.explore import FORMATS

    if (model is None) == (shape is None):
        raise EstimateError("give either MODEL or --shape NAME")
    out = Output(json)
    if top < 1:
        raise EstimateError(f"--top must be above 0, not {top}")
    checking = Checking(check, workers, cluster, check_accelerators)
    found = search(model or shape or "", device or "kv260", hardware, format or FORMATS, points,
                   prompt, tokens, max_power, max_lut_share, max_pause, best, perplexities)
    _print(out, found, top)
    if check:
        with out.bar("Simulating engines") as bar:
            found = check_designs(found, checking, bar)
        _print_checks(out, found.checks)
    if output is not None:
        found.write_report(output)
        out.print("Report: {}", output)
    out.json(found.to_json())


def _print(output: Output, found: Exploration, top: int) -> None:
    for warning in found.warnings:
        output.warn(warning)
    counts = found.result.counts
    output.print(
        "{:,} designs: {:,} within the power, {:,} within the LUT and DSP, {:,} within the pause, "
        "{:,} within all; {:,} on the front",
        *(counts[name] for name in ("points", "within_power", "within_lut", "within_pause",
                                    "within_all")), len(found.front))
    if found.front:
        _print_front(output, found, top)
    output.print("{}", found.answer)
    measured = found.perplexities
    output.print("Perplexities were measured with {}, {:,} tokens.", measured.model,
                 measured.tokens)
    for key, errors in found.fit_errors.items():
        said = ", ".join(f"{value:.1%} {name.replace('_', ' ')}" for name, value in errors.items())
        output.print("largest error of the fit, {}: {}", key, said)


def _print_front(output: Output, found: Exploration, top: int) -> None:
    names = ", ".join(device.name for device in found.devices)
    table = make_table("engine", ">MHz", ">URAM", "prompt", ">KV", ">ppl", ">first",
                       ">tok/s", ">J/tok", ">W", ">LUT", title=f"{found.model.name} on {names}")
    for column in table.columns:
        column.no_wrap = True   # 80 characters hold all
    table.padding = (0, 1, 0, 0)
    for one in found.front[:top]:
        table.add_row(*_row(one))
    output.show(table)


def _row(one: Found) -> tuple[str, ...]:
    from ..sim.explore.answer import engine_name
    from ..sim.report import digits

    design = one.design
    kind, _, size = engine_name(one).partition(" ")
    return (
        f"{kind[0].upper()} {size} {design.lanes}", f"{design.mhz:g}", str(design.urams),
        design.policy, str(design.kv_bits), f"{one.perplexity:.2f}", digits(one.first_token),
        digits(one.tokens_per_second), digits(one.joules_per_token), digits(one.watts),
        f"{one.lut / 1000:,.0f}k",
    )


def _print_checks(output: Output, checks: DesignChecks) -> None:
    """Print what the checks found; a front without designs has none."""
    if checks.designs:
        _print_engines(output, checks)
        _print_accelerators(output, checks)


def _print_engines(output: Output, checks: DesignChecks) -> None:
    from ..sim.explore.answer import engine_name

    table = make_table("engine", ">shapes", ">cycles", ">formula", ">worst error", ">wrong sums",
                       title="RTL simulation")
    for design, one in zip(checks.designs, checks.engines, strict=True):
        table.add_row(engine_name(design), str(len(one.shapes)), f"{sum(one.cycles):,}",
                      f"{sum(one.predicted):,}", f"{one.worst_error:.2%}", str(one.mismatches))
    output.show(table)


def _print_accelerators(output: Output, checks: DesignChecks) -> None:
    from ..sim.explore.answer import engine_name
    from ..sim.report import digits

    table = make_table("design", ">first token", ">formula", ">tokens/s", ">formula", ">RTL",
                       title="Whole accelerators by the cycle model")
    refused = []
    for one, said, rtl in zip(checks.designs, checks.predicted, checks.counted, strict=True):
        name = f"{engine_name(one)}, {one.design.mhz:g} MHz, {one.design.urams} URAM"
        if isinstance(said, str):
            refused.append(f"{name}: {said}")
            continue
        errors = said.errors(one)
        table.add_row(name, digits(said.first_token), f"{errors['first_token']:+.0%}",
                      digits(said.tokens_per_second), f"{errors['tokens_per_second']:+.0%}",
                      f"{rtl.worst_error:.2%} off" if rtl else "-")
    output.show(table)
    for sentence in refused:
        output.print("{}", sentence)
