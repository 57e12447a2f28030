"""``trilobite verify shape``: cycles of a full-size model on the accelerator."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import TrilobiteError
from ..sim.descriptions.ddr_timing import DdrTiming
from .console import Output, make_table
from .options import Json, Phase, Vocabulary

if TYPE_CHECKING:
    from ..api.verify_shape import CountedShape

__all__ = ["parse_timing", "verify_shape"]


def verify_shape(
    shape: Annotated[
        str, typer.Argument(metavar="SHAPE", help="bitnet-0.73b, bitnet-2b, ..., or a .toml file.")
    ],
    phase: Annotated[Phase, typer.Option(help="prefill or decode.")] = Phase.DECODE,
    tokens: Annotated[int, typer.Option(help="prefill: tokens of the prompt.")] = 128,
    context: Annotated[
        int, typer.Option(help="decode: tokens before the one that is decoded.")
    ] = 128,
    layers: Annotated[
        int, typer.Option(help="Layers to simulate; the rest is counted from them.")
    ] = 1,
    hardware: Annotated[str, typer.Option(help="An accelerator, or a .toml file.")] = "kv260",
    seed: Annotated[int, typer.Option(help="Seed of the weights.")] = 0,
    head: Annotated[
        Vocabulary, typer.Option(help="Format of the embedding and the head.")
    ] = Vocabulary.INT8,
    ddr: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=CYCLES,...",
            help="Timing of the memory: latency (60), refresh_interval (0: none), "
            "refresh_cycles, turnaround, words and per_cycles (1 in 1).",
        ),
    ] = None,
    schedule: Annotated[
        Path | None, typer.Option(help="Draw what happens in a layer into this .svg file."),
    ] = None,
    json: Json = None,
) -> None:
    """Count the cycles of a prefill or a decode step of a shape, with random weights."""
    from ..api.verify_shape import verify_shape as simulate

    output = Output(json)
    timing = parse_timing(ddr or "")
    with output.bar("Compiling the model") as bar:
        counted = simulate(shape, phase.value, tokens, context, layers, hardware, seed, head.value,
                           timing, schedule is not None, bar)
    _print(output, counted)
    if schedule:
        counted.write_schedule(schedule)
        output.print("Schedule written to {}", schedule)
    output.json(counted.to_json())


def parse_timing(text: str) -> DdrTiming:
    """``name=cycles,name=cycles``: fields of ``DdrTiming`` that differ from the default.

    Raises
    ------
    TrilobiteError
        There is no such field, or a value is no number or out of range.
    """
    names = [field.name for field in fields(DdrTiming)]
    changes = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in names or not value.isdecimal():
            raise TrilobiteError(f"--ddr {part!r} must be NAME=NUMBER; names are "
                                 f"{', '.join(names)}")
        changes[name] = int(value)
    try:
        return replace(DdrTiming(), **changes)
    except ValueError as error:
        raise TrilobiteError(f"--ddr {text!r}: {error}") from None


def _print(output: Output, counted: CountedShape) -> None:
    cycles = counted.cycles
    table = make_table("counter", f">{cycles.layers} layers", f">{cycles.layers} more",
                       f">all {cycles.model_layers}", ">share")
    for name, value in cycles.one.items():
        share = f"{cycles.whole(name) / cycles.whole():.1%}" if name.endswith("cycles") else ""
        table.add_row(name.replace("_", " "), f"{value:,}", f"{cycles.more[name]:,}",
                      f"{cycles.whole(name):,.0f}", share)
    output.show(table)
    said = (f"time to first token {counted.seconds:.3f} s for {cycles.tokens} tokens"
            if counted.prefill
            else f"{1 / counted.seconds:.1f} tokens/s at context {cycles.context}")
    output.print(
        "{}, at {:.0f} MHz: {}; the port moved a word in {:.1%} of the cycles ({:.1%} read), "
        "{:.1f} GB/s.", counted.shape, counted.clock / 1e6, said, counted.moved_share,
        counted.read_share, counted.bytes_per_second / 1e9)
    if counted.goal is not None:
        bound, unit = ("at most", "s") if counted.prefill else ("at least", "tokens/s")
        output.print("The goal is {} {} {}: {}.", bound, counted.goal, unit,
                     "met" if counted.goal_met else "missed")
