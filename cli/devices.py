"""``trilobite devices``: the devices that estimates know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from .app import app
from .console import Output, bytes_text, make_table
from .options import Json
from .text import visible

if TYPE_CHECKING:
    from ..api.devices import DescribedDevice
    from ..sim.descriptions.device import Device
    from ..sim.descriptions.quantity import Quantity
    from ..sim.descriptions.soc import Soc

__all__ = ["devices"]


@app.command(epilog="Example: trilobite devices snapdragon-8-gen-3")
def devices(
    device: Annotated[
        str | None,
        typer.Argument(metavar="[DEVICE]", help="Show every constant of this one, or of a file."),
    ] = None,
    json: Json = None,
) -> None:
    """List the devices that estimates know, with the source of every constant."""
    from ..api.devices import devices as describe

    output = Output(json)
    found = describe(device)
    if device is None:
        _print_list(output, found)
    else:
        _print_constants(output, found[0])
    output.json({"devices": [one.to_json() for one in found]})


def _print_list(output: Output, devices: Iterable[DescribedDevice]) -> None:
    table = make_table("device", ">memory", ">sustained", "computes with", ">assumed")
    for device in devices:
        dram = device.description.dram
        table.add_row(
            device.key, bytes_text(dram.capacity.count), f"{dram.sustained.nominal:.3g} GB/s",
            _computes_with(device.description), f"{device.assumed} of {len(device.constants)}",
        )
    output.show(table)
    output.print(
        "[dim]assumed: constants with nothing to cite, of all; `trilobite devices NAME` shows each "
        "with its source.[/]"
    )


def _computes_with(device: Device | Soc) -> str:
    """What a device has to compute with, in a few words."""
    from ..sim.descriptions.soc import Soc

    if isinstance(device, Soc):
        return ", ".join(processor.name for processor in device.processors)
    return f"{device.fabric.lut.count:,} LUT, {device.fabric.dsp.count:,} DSP"


def _print_constants(output: Output, device: DescribedDevice) -> None:
    output.print("[bold]{}[/]", device.description.name)
    output.print("{}", device.error)
    for constant in device.constants:
        quantity = constant.quantity
        output.print("[bold]{}[/]  {} {} ({})", constant.path, _value(quantity), quantity.unit,
                     quantity.kind)
        output.show(Padding(Text(visible(quantity.source), "dim"), (0, 0, 0, 4)))


def _value(quantity: Quantity) -> str:
    """The nominal value, with the ends where there is a range."""
    if quantity.low == quantity.high:
        return f"{quantity.nominal:,.12g}"
    return f"{quantity.nominal:,.4g}, {quantity.low:,.4g} to {quantity.high:,.4g}"
