"""``trilobite synth``: what blocks of the hardware take of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .app import app
from .console import Output, make_table
from .options import Json, SynthDevice
from .synth_timing import print_timing

if TYPE_CHECKING:
    from ..api.synth import SynthesizedBlocks
    from ..fpga.synth.flow import Synthesis

__all__ = ["synth"]

_KV260 = SynthDevice("kv260")
_IN_JSON_ONLY = {"SRL"}   # few, and counted as LUT too


@app.command(epilog="Example: trilobite synth --device kv260 --block 'float-*'")
def synth(
    part: Annotated[
        list[str] | None, typer.Argument(metavar="[PART]...", help="Blocks, as by --block.")
    ] = None,
    device: Annotated[
        SynthDevice, typer.Option(help="The device to synthesize for.")
    ] = _KV260,
    block: Annotated[
        list[str] | None,
        typer.Option(help="A block, or a pattern as 'tlmm-g*'; again for more. Default: all parts "
                     "of the accelerator."),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option("--hardware", "--configuration",
                     help="An accelerator in RTL, or a .toml file. Default: that of the device."),
    ] = None,
    timing: Annotated[
        bool, typer.Option("--timing", help="Analyse the clock of each block and its paths.")
    ] = False,
    clock: Annotated[
        float | None,
        typer.Option(metavar="MHZ", help="What --timing compares to. Default: the device's."),
    ] = None,
    json: Json = None,
) -> None:
    """Synthesize hardware blocks: LUT, FF, DSP, memory blocks; for the ECP5 also its clock."""
    from ..api.synth import synth as synthesize

    output = Output(json)
    with output.bar("Synthesizing") as bar:
        found = synthesize(device.value, [*(part or ()), *(block or ())], hardware, bar,
                           timing=timing, clock=clock)
    if timing:
        print_timing(output, found)
    else:
        _print(output, found)
    output.json(found.to_json())


def _print(output: Output, found: SynthesizedBlocks) -> None:
    names = [name for name in found.target.resources if name not in _IN_JSON_ONLY]
    clocks = [(result.block, result.timing) for result in found.blocks if result.timing]
    engines = [result for result in found.blocks if result.macs_per_cycle]
    table = make_table("block", *(f">{name}" for name in names),
                       *([">LUT/MAC"] if engines else []), *([">MHz"] if clocks else []))
    table.columns[0].no_wrap = True
    table.padding = (0, 1, 0, 0)   # 80 characters hold all columns
    for result in found.blocks:
        cells = [f"{result.resources[name]:,.6g}" for name in names]
        if engines:
            cells.append(_per_mac(result))
        if clocks:
            cells.append(f"{result.timing.fmax:.1f}" if result.timing else "")
        table.add_row(result.block, *cells)
    total = found.total
    if len(found.blocks) > 1:
        table.add_row(Text("sum", "bold"),
                      *(Text(f"{total[name]:,.6g}", "bold") for name in names))
    table.add_row(Text("of the device", "dim"),
                  *(_share(total[name], found.available.get(name)) for name in names))
    output.show(table)
    for block, timing in clocks:
        output.print(
            "{}: {:.1f} MHz; the slowest path, {:.2f} ns of logic and {:.2f} ns of routing, leads "
            "from {} to {}", block, timing.fmax, timing.logic, timing.routing, timing.start,
            timing.end)


def _per_mac(result: Synthesis) -> str:
    macs = result.macs_per_cycle
    return f"{result.resources['LUT'] / macs:.2f}" if macs else ""


def _share(used: float, available: int | None) -> Text:
    return Text(f"{used / available:.1%}", "dim") if available else Text()
