"""Commands about the hardware itself: simulate it beside the runtime, synthesize it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import Output, reports_errors
from .options import Block, Json, Phase, Simulator, SynthDevice, Vocabulary

__all__ = ["synth", "verify"]


@app.command(epilog="Example: trilobite verify demo-bitnet --block all -p 'def add(' -n 16")
@reports_errors
def verify(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model folder, demo-bitnet or demo-llama."),
    ] = None,
    block: Annotated[Block, typer.Option(help="The hardware block to check.")] = Block.TLMM,
    layer: Annotated[
        int, typer.Option(help="tlmm: the decoder layer whose matrices are taken.")
    ] = 0,
    prompt: Annotated[
        str, typer.Option("--prompt", "-p", help="Text that the model is given.")
    ] = "def main(arguments):",
    tokens: Annotated[
        int | None,
        typer.Option(help="How many of the prompt's tokens. tlmm: 4; all: the whole prompt."),
    ] = None,
    new_tokens: Annotated[
        int, typer.Option("-n", "--new-tokens", help="all: how many tokens to generate.")
    ] = 16,
    simulator: Annotated[
        Simulator, typer.Option(help="tlmm: which simulator runs the Verilog.")
    ] = Simulator.VERILATOR,
    stall: Annotated[
        float, typer.Option(help="tlmm: chance of a stall per stream and cycle.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(help="tlmm: seed of the stalls.")] = 0,
    waves: Annotated[
        Path | None,
        typer.Option("--waves", "--dump", help="Record all signals in this .fst (or .vcd) file."),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            help="Accelerator description, or a .toml file. tlmm: tlmm-kv260; all: demo; "
            "--shape: kv260.",
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="Instead of a model: count the cycles of a shape, bitnet-0.73b, ..."),
    ] = None,
    phase: Annotated[Phase, typer.Option(help="--shape: prefill or decode.")] = Phase.DECODE,
    context: Annotated[
        int, typer.Option(help="--shape, decode: tokens before the one that is decoded.")
    ] = 128,
    layers: Annotated[
        int, typer.Option(help="--shape: layers to simulate; the rest is counted from them.")
    ] = 1,
    head: Annotated[
        Vocabulary, typer.Option(help="--shape: format of the embedding and the head.")
    ] = Vocabulary.INT8,
    ddr: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=CYCLES,...",
            help="--shape: timing of the memory: latency (60), refresh_interval (0: none), "
            "refresh_cycles, turnaround, words and per_cycles (1 in 1).",
        ),
    ] = None,
    schedule: Annotated[
        Path | None,
        typer.Option(help="--shape: draw what happens in a layer into this .svg file."),
    ] = None,
    json: Json = None,
) -> None:
    """Simulate the hardware on a model's weights and compare it with the runtime, bit by bit.

    tlmm: every sum of a layer's matmuls. all: the whole accelerator, prefill and decode, every
    layer's residual stream and every token. Exits with 1 if something differs.
    """
    if shape is not None:
        from ..commands.verify_shape import run as run_shape

        run_shape(Output(json), shape, phase.value, 128 if tokens is None else tokens, context,
                  layers, hardware or "kv260", seed, head.value, ddr, schedule)
        return
    if model is None:
        raise typer.BadParameter("name a MODEL, or a --shape")
    if block is Block.ALL:
        from ..commands.verify_decoder import run as run_decoder

        equal = run_decoder(
            Output(json), model, prompt, new_tokens, tokens, waves, hardware or "demo")
    else:
        from ..commands.verify import run

        equal = run(
            Output(json), model, layer, prompt, 4 if tokens is None else tokens, simulator.value,
            stall, seed, waves, hardware or "tlmm-kv260",
        )
    if not equal:
        raise typer.Exit(1)


@app.command(epilog="Example: trilobite synth --device kv260 --block 'float-*'")
@reports_errors
def synth(
    device: Annotated[
        SynthDevice, typer.Option(help="The device to synthesize for.")
    ] = SynthDevice.KV260,
    block: Annotated[
        list[str] | None,
        typer.Option(help="A block, or a pattern as 'tlmm-g*'; again for more. Default: all parts "
                     "of the accelerator."),
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option(help="How large: an accelerator's name, or a .toml file. Default: that of "
                     "the device."),
    ] = None,
    json: Json = None,
) -> None:
    """Synthesize hardware blocks: LUT, FF, DSP, memory blocks; for the ECP5 also its clock."""
    from ..commands.synth import run

    run(Output(json), device.value, block or [], configuration)
