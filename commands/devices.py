"""``trilobite devices``."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.markup import escape
from rich.padding import Padding

from ..cli.console import Output, bytes_text, make_table
from ..sim.descriptions.device import Device
from ..sim.descriptions.presets import bundled_devices, constants, kinds, own_devices, read_device
from ..sim.descriptions.quantity import Quantity
from ..sim.descriptions.soc import Soc

__all__ = ["run"]


def run(output: Output, name: str | None) -> None:
    """List the bundled devices and the user's own, or every constant of the one called ``name``."""
    devices = ({**bundled_devices(), **own_devices()} if name is None
               else {name: read_device(name)})
    if name is None:
        _print_list(output, devices)
    else:
        _print_constants(output, devices[name])
    output.json({"devices": [_json(key, device) for key, device in devices.items()]})


def _print_list(output: Output, devices: dict[str, Device | Soc]) -> None:
    table = make_table("device", ">memory", ">sustained", "computes with", ">assumed")
    for name, device in devices.items():
        counts = kinds(device)
        table.add_row(
            name, bytes_text(device.dram.capacity.count),
            f"{device.dram.sustained.nominal:.3g} GB/s", _computes_with(device),
            f"{counts['assumption']} of {counts.total()}",
        )
    output.print(table)
    output.print(
        "[dim]assumed: constants with nothing to cite, of all; `trilobite devices NAME` shows each "
        "with its source.[/]"
    )


def _computes_with(device: Device | Soc) -> str:
    """What a device has to compute with, in a few words."""
    if isinstance(device, Soc):
        return ", ".join(processor.name for processor in device.processors)
    return f"{device.fabric.lut.count:,} LUT, {device.fabric.dsp.count:,} DSP"


def _print_constants(output: Output, device: Device | Soc) -> None:
    output.print(f"[bold]{escape(device.name)}[/]")
    for constant in constants(device):
        quantity = constant.quantity
        value = f"{_value(quantity)} {quantity.unit} ({quantity.kind})"
        output.print(f"[bold]{escape(constant.path)}[/]  {escape(value)}")
        output.print(Padding(f"[dim]{escape(quantity.source)}[/]", (0, 0, 0, 4)))


def _value(quantity: Quantity) -> str:
    """The nominal value, with the ends where there is a range."""
    if quantity.low == quantity.high:
        return f"{quantity.nominal:,.12g}"
    return f"{quantity.nominal:,.4g}, {quantity.low:,.4g} to {quantity.high:,.4g}"


def _json(name: str, device: Device | Soc) -> dict[str, Any]:
    return {
        "device": name, "name": device.name, "kind": device.kind,
        "constants": {
            constant.path: dataclasses.asdict(constant.quantity) for constant in constants(device)
        },
    }
