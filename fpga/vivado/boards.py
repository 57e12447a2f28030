"""Boards whose bitstream Vivado makes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VIVADO_BOARDS", "VivadoBoard"]


@dataclass(frozen=True)
class VivadoBoard:
    """A board with a Zynq UltraScale+.

    ``hardware`` is the accelerator that fits it; ``clocks`` those that its logic may be asked for,
    in MHz, and ``clock`` the usual one; ``part`` and ``board_parts`` are the names of the device
    and (a pattern) of the board in Vivado.
    """

    name: str
    hardware: str
    clocks: range
    clock: int
    part: str
    board_parts: str


# The HP ports take 333 MHz at most (DS925).
VIVADO_BOARDS: dict[str, VivadoBoard] = {"kv260": VivadoBoard(
    "kv260", "kv260", range(50, 334), 250, "xck26-sfvc784-2LV-c", "xilinx.com:kv260_som:part0:*")}
