"""``trilobite verify decoder``: the whole accelerator, token for token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .console import Output, make_table
from .options import Json, Model, Prompt, Waves

if TYPE_CHECKING:
    from ..api.verify import VerifiedDecoder
    from ..sim.verify.decoder import DecoderReport, StepResult

__all__ = ["verify_decoder"]


def verify_decoder(
    model: Model,
    prompt: Prompt = "def main(arguments):",
    tokens: Annotated[
        int | None,
        typer.Option(help="How many of the prompt's tokens. Default: the whole prompt."),
    ] = None,
    new_tokens: Annotated[
        int, typer.Option("-n", "--new-tokens", help="How many tokens to generate.")
    ] = 16,
    waves: Waves = None,
    hardware: Annotated[str, typer.Option(help="An accelerator, or a .toml file.")] = "demo",
    json: Json = None,
) -> None:
    """Compare the whole accelerator with the runtime: prefill and decode, every layer."""
    from ..api.verify import verify_decoder as simulate

    output = Output(json)
    with output.bar("Running the model") as bar:
        verified = simulate(model, prompt, new_tokens, tokens, waves, hardware, bar)
    _print(output, verified)
    output.json(verified.to_json())
    if not verified.equal:
        raise typer.Exit(1)


def _print(output: Output, verified: VerifiedDecoder) -> None:
    report = verified.report
    for warning in verified.warnings:
        output.print("{}", warning)
    table = make_table("step", ">tokens", ">cycles", ">cycles per token", ">residual streams equal",
                       ">tokens equal")
    for name, steps in (("prefill", verified.prefill), ("decode", verified.decode)):
        if steps:
            table.add_row(name, *_row(steps))
    output.show(table)
    counters = make_table("counter", ">prefill", ">decode, a token")
    for name in report.counts:
        prefill, decode = (sum(step.counts[name] for step in steps)
                           for steps in (verified.prefill, verified.decode))
        counters.add_row(name.replace("_", " "), f"{prefill:,}",
                         f"{decode / max(len(verified.decode), 1):,.0f}")
    output.show(counters)
    output.print(
        "In one run: {} tokens in {:,} cycles, {:,} bytes of memory, {:.0f} s of building and "
        "simulation. It wrote: {!r}", len(report.tokens), report.counts["cycles"], verified.memory,
        verified.seconds, verified.text)
    _print_verdict(output, report)


def _print_verdict(output: Output, report: DecoderReport) -> None:
    if report.equal:
        output.print("[green]Every residual stream and every token equals the runtime's.[/]")
        return
    wrong = next((step for step in report.steps if not step.equal), None)
    if wrong is None:
        output.print(
            "[red]Step by step all is equal, but in one run the tokens were {}, not {}.[/]",
            report.tokens, report.expected_tokens)
        return
    where = (f"residual stream {wrong.residuals_equal.index(False)}"
             if not all(wrong.residuals_equal) else f"token {wrong.token}")
    output.print("[red]The step at position {} differs first: {}.[/]", wrong.position, where)


def _row(steps: Sequence[StepResult]) -> tuple[str, ...]:
    tokens = sum(step.tokens for step in steps)
    cycles = sum(step.counts["cycles"] for step in steps)
    flags = [flag for step in steps for flag in step.residuals_equal]
    chosen = [step for step in steps if step.expected_token is not None]
    right = sum(step.token == step.expected_token for step in chosen)
    return (f"{tokens:,}", f"{cycles:,}", f"{cycles / tokens:,.0f}",
            f"{sum(flags):,} of {len(flags):,}", f"{right} of {len(chosen)}")
