"""``trilobite serve-sim``: many requests on one accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from .app import app
from .choices import command_class, descriptions_table
from .console import Output, make_table
from .options import Json

if TYPE_CHECKING:
    from ..api.serving import ServedRequests

__all__ = ["serve_sim"]


@app.command(
    "serve-sim", epilog="Example: trilobite serve-sim bitnet-0.73b --requests 20",
    cls=command_class(descriptions_table),
)
def serve_sim(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder, demo-bitnet, or a shape.")
    ],
    trace: Annotated[
        Path | None,
        typer.Option(help="Requests from a .csv or .jsonl file: arrival, prompt, output."),
    ] = None,
    requests: Annotated[int, typer.Option(help="Without --trace: how many are drawn.")] = 50,
    rate: Annotated[float, typer.Option(help="Without --trace: arrivals per second.")] = 1.0,
    prompt: Annotated[int, typer.Option(help="Without --trace: mean tokens of a prompt.")] = 128,
    output: Annotated[int, typer.Option(help="Without --trace: mean tokens generated.")] = 64,
    seed: Annotated[int, typer.Option(help="Same seed, same requests.")] = 0,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="whole, chunked, layered or flow; again for more. Default: all."),
    ] = None,
    chunk: Annotated[int, typer.Option(help="chunked: tokens of a batch.")] = 128,
    groups: Annotated[int, typer.Option(help="layered: groups of layers.")] = 4,
    slack: Annotated[
        float, typer.Option(help="flow: deadline of a prompt, in times of its own prefill.")
    ] = 4.0,
    slots: Annotated[int, typer.Option(help="At most so many requests at once.")] = 8,
    device: Annotated[str, typer.Option(help="Device description, or a .toml file.")] = "kv260",
    hardware: Annotated[
        str | None,
        typer.Option(help="On a board: an accelerator, or a .toml file, by formulas. Default: "
                          "tlmm-kv260."),
    ] = None,
    processor: Annotated[
        str | None, typer.Option(help="On a SoC: cpu, gpu or npu. Default: the CPU.")
    ] = None,
    stored: Annotated[
        str | None, typer.Option("--format", help="On a SoC: how the weights are stored.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="On a SoC: what runs the model.")] = None,
    kv: Annotated[str | None, typer.Option(help="On a SoC: type of the cache.")] = None,
    json: Json = None,
) -> None:
    """Serve a trace of requests: waiting times and joules/token by prefill/decode policy."""
    from ..api.serving import draw_requests
    from ..api.serving import serve_sim as simulate

    out = Output(json)
    drawn = trace or draw_requests(requests, rate, prompt, output, seed)
    with out.bar("Serving") as bar:
        served = simulate(model, drawn, policy, chunk, groups, slack, slots, device, hardware, bar,
                          processor, stored, engine, kv)
    for warning in served.warnings:
        out.warn(warning)
    out.show(_table(served))
    out.print("[dim]times: 50th, 95th, 99th percentile; pause: the longest within a request[/]")
    if json is not None:   # it takes more memory than all the rest
        out.json(served.to_json())


def _table(served: ServedRequests) -> Table:
    from ..sim.report import digits

    table = make_table(
        "policy", ">first token, s", ">per token, s", ">pause, s", ">token/s", ">J/token",
        title=f"{served.model.name} on {served.device.name}, {len(served.requests)} requests",
    )
    for result in served.policies:
        values = result.as_json()
        marks = [
            " ".join(digits(times[mark]) for mark in ("p50", "p95", "p99")) if times else "-"
            for times in (values["first_token"], values["per_token"])
        ]
        table.add_row(
            result.policy, *marks, digits(result.longest_pause),
            digits(values["tokens_per_second"]), digits(result.joules_per_token),
        )
    return table
