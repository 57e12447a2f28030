"""Commands about what a device will do: estimate, calibrate, serve, explore, list devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import EstimateError
from .app import app
from .console import Output, reports_errors
from .options import Json

__all__ = ["calibrate", "devices", "estimate", "explore", "serve_sim"]


@app.command(epilog="Example: trilobite estimate bitnet-2b --device kv260 -o report.html")
@reports_errors
def estimate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Model folders, demo-bitnet, or the shapes bitnet-0.73b and bitnet-2b.",
        ),
    ],
    device: Annotated[str, typer.Option(help="Device description, or a .toml file.")] = "kv260",
    hardware: Annotated[
        str | None,
        typer.Option(help="kv260 or demo: an accelerator in RTL, its cycles predicted from its "
                          "descriptors; tlmm-kv260 or a .toml file: a description, by formulas. "
                          "Default: the device's own accelerator, else tlmm-kv260."),
    ] = None,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 128,
    tokens: Annotated[int, typer.Option(help="Tokens generated after it.")] = 128,
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
    json: Json = None,
) -> None:
    """Estimate time to first token, tokens/s and joules/token on a device."""
    from ..commands.estimate import run

    run(Output(json), models, device, hardware, prompt, tokens, report, simulate, trace,
        csv, compare)


@app.command(epilog="Example: trilobite calibrate && trilobite estimate bitnet-2b --device "
                    "this-machine")
@reports_errors
def calibrate(
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The .toml file to write; else the user's own "
                                            "this-machine, which `trilobite devices` lists."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the kernels; else as many as there are.")
    ] = None,
    json: Json = None,
) -> None:
    """Measure this machine's bandwidth and kernels, and write them as a device."""
    from ..commands.calibrate import run

    run(Output(json), output, threads)


@app.command("serve-sim", epilog="Example: trilobite serve-sim bitnet-0.73b --requests 20")
@reports_errors
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
        str, typer.Option(help="Accelerator description, or a .toml file.")
    ] = "tlmm-kv260",
    json: Json = None,
) -> None:
    """Serve a trace of requests: waiting times and joules/token by prefill/decode policy."""
    from ..commands.serve_sim import Drawn, run

    drawn = Drawn(requests, rate, prompt, output, seed)
    run(
        Output(json), model, trace, drawn, policy, {"chunk": chunk, "groups": groups,
        "slack": slack}, slots, device, hardware,
    )


@app.command(epilog="Example: trilobite explore bitnet-0.73b --max-power 5 --max-lut-share 0.7")
@reports_errors
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
        str, typer.Option(help="What the designs share, or a .toml file.")
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
        float, typer.Option(help="Part of the device's LUT, 0.7 for 70 %.")
    ] = 1.0,
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
    from ..commands.explore import run
    from ..commands.explore_checks import Checking
    from ..sim.explore import FORMATS, Limits

    if (model is None) == (shape is None):
        raise EstimateError("give either MODEL or --shape NAME")
    run(Output(json), model or shape or "", device or ["kv260"], hardware, format or FORMATS,
        points, prompt, tokens, Limits(max_power, max_lut_share, max_pause), best, perplexities,
        Checking(check, workers, cluster, check_accelerators), output, top)


@app.command(epilog="Example: trilobite devices snapdragon-8-gen-3")
@reports_errors
def devices(
    device: Annotated[
        str | None,
        typer.Argument(metavar="[DEVICE]", help="Show every constant of this one, or of a file."),
    ] = None,
    json: Json = None,
) -> None:
    """List the devices that estimates know, with the source of every constant."""
    from ..commands.devices import run

    run(Output(json), device)
