"""``trilobite calibrate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ..cli.console import Output, make_table
from ..errors import TrilobiteError
from ..runtime.compiling import when_compiling
from ..runtime.timing import threads
from ..sim.descriptions.tables import own_folder
from ..sim.this_machine.calibrate import TOKENS, Calibration, calibrate, description_text
from ..sim.this_machine.runtime_estimate import THIS_MACHINE

__all__ = ["run"]


def run(output: Output, path: Path | None, count: int | None) -> None:
    """Measure this machine, print what it gave, and write its description."""
    target = path or own_folder("devices") / f"{THIS_MACHINE}.toml"
    if target.suffix != ".toml":
        raise TrilobiteError(f"{target}: a device description is a .toml file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrilobiteError(f"{target.parent} cannot be made: {error}") from None
    with (threads(count or _most_threads()), when_compiling(output.notes),
          output.console.status("Measuring this machine ...") as status):
        measured = calibrate(lambda what: status.update(f"Measuring {what} ..."))
    _print(output, measured)
    fresh = target.with_suffix(".toml.part")
    try:
        fresh.write_text(description_text(measured), encoding="utf-8")
        fresh.replace(target)
    except OSError as error:
        raise TrilobiteError(f"{target} cannot be written: {error}") from None
    output.print(f"Device: {target}")
    output.json({"device": str(target), **asdict(measured)})


def _most_threads() -> int:
    """All that Numba may use."""
    import numba  # noqa: PLC0415

    return numba.config.NUMBA_NUM_THREADS


def _print(output: Output, measured: Calibration) -> None:
    table = make_table("kernel", ">start", *(f">{tokens} tokens" for tokens in TOKENS),
                       title=f"{measured.threads} threads, "
                             f"{measured.bandwidth[1] / 1e9:.1f} GB/s read")
    for kernel in measured.kernels:
        table.add_row(f"{kernel.operator}, {kernel.format}", f"{1e6 * kernel.start:.0f} us",
                      *(f"{rates[1] / 1e9:,.0f} GOPS" for rates in kernel.rates.values()))
    output.print(table)
    table = make_table("layer", ">start", "rates by tokens", title="Attention, elementwise work")
    for layer in measured.layers:
        rates = ", ".join(f"{tokens}: {1e-9 * rate[1]:.3g}" for tokens, rate in layer.rates.items())
        table.add_row(f"{layer.operator}, {layer.precision}", f"{1e6 * layer.start:.0f} us",
                      f"{rates} GOPS")
    output.print(table)
