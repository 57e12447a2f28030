"""Boards by what ``--on`` calls them, and accelerators by what a board says of itself."""

from __future__ import annotations

from pathlib import Path

from ..errors import TrilobiteError
from ..fpga.accelerator_parameters import AcceleratorParameters
from ..fpga.registers import configuration_hash
from ..host.driver import Driver
from ..host.pynq_board import PynqBoard
from ..host.transport import Transport
from ..host.uart import BAUD, UartBoard, open_serial
from ..host.uio import UioBoard
from ..sim.descriptions.accelerator import accelerator_names, load_accelerator

__all__ = ["SIM", "accelerator_of", "physical_board"]

SIM = "sim"
_UART_BYTES = 32 << 20   # memory of a board at a serial line: that of a ULX3S
_PYNQ_BYTES = 256 << 20
_KINDS = "sim, uart:DEVICE, uart:DEVICE@BAUD, uio:NUMBER or pynq:FILE.bit"


def physical_board(where: str) -> Transport:
    """The way to a board that is none of a simulation.

    Raises
    ------
    TrilobiteError
        ``where`` is no board's name.
    """
    kind, _, place = where.partition(":")
    if kind == "uart" and place:
        device, _, rate = place.partition("@")
        if rate and not (rate.isascii() and rate.isdigit() and int(rate)):
            raise TrilobiteError(f"--on {where}: the rate {rate!r} is no number of bits a second")
        baud = int(rate) if rate else BAUD
        return UartBoard(where, lambda: open_serial(device, baud), _UART_BYTES)
    if kind == "uio" and place.isascii() and place.isdigit():
        return UioBoard(int(place))
    if kind == "pynq" and place:
        return PynqBoard(Path(place), _PYNQ_BYTES)
    raise TrilobiteError(f"--on {where!r} is no board; it must be {_KINDS}")


def accelerator_of(driver: Driver, where: str) -> AcceleratorParameters:
    """The known accelerator that a board has.

    Raises
    ------
    TrilobiteError
        None of those that are known has its hash.
    """
    known = accelerator_names(whole=True)
    for name in known:
        parameters = load_accelerator(name).whole()
        if configuration_hash(parameters) == driver.identity.configuration:
            return parameters
    raise TrilobiteError(
        f"{where} has an accelerator with the hash {driver.identity.configuration:016x}, which is "
        f"none of {', '.join(known)}; say by --hardware which .toml file it was built from")
