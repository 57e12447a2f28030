"""``trilobite calibrate``: the machine at hand as a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .console import Output, make_table
from .options import Json

if TYPE_CHECKING:
    from ..sim.this_machine.calibrate import MachineCalibration

__all__ = ["calibrate"]


@app.command(epilog="Example: trilobite calibrate && trilobite estimate bitnet-2b --device "
                    "this-machine")
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
    from ..api.calibrate import calibrate as measure
    from ..runtime.compiling import when_compiling

    out = Output(json)
    with when_compiling(out.notes), out.bar("Measuring this machine") as bar:
        machine = measure(output, threads, bar)
    _print(out, machine.measured)
    out.print("Device: {}", machine.path)
    out.json(machine.to_json())


def _print(output: Output, measured: MachineCalibration) -> None:
    tokens = measured.kernels[0].rates
    table = make_table("kernel", ">start", *(f">{count} tokens" for count in tokens),
                       title=f"{measured.threads} threads, "
                             f"{measured.bandwidth[1] / 1e9:.1f} GB/s read")
    for kernel in measured.kernels:
        table.add_row(f"{kernel.operator}, {kernel.format}", f"{1e6 * kernel.start:.0f} us",
                      *(f"{rates[1] / 1e9:,.0f} GOPS" for rates in kernel.rates.values()))
    output.show(table)
    table = make_table("layer", ">start", "rates by tokens", title="Attention, elementwise work")
    for layer in measured.layers:
        rates = ", ".join(f"{tokens}: {1e-9 * rate[1]:.3g}" for tokens, rate in layer.rates.items())
        table.add_row(f"{layer.operator}, {layer.precision}", f"{1e6 * layer.start:.0f} us",
                      f"{rates} GOPS")
    output.show(table)
