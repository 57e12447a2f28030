"""The RTL of a board in a simulator, at the end of a serial line."""

from __future__ import annotations

import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from typing_extensions import override

from ....errors import HostError
from ....fpga.accelerator_parameters import AcceleratorParameters
from ....fpga.boards.ulx3s import MEMORY_BYTES
from ....host.uart import UartBoard
from ....tools.programs import PIPE, started
from ..bench.build import Build, build_design
from ..bench.design import VerilogModule
from ..bench.known_design import known_design
from ..bench.sdram import Broken
from .serial_bench import BIT_CYCLES, SerialBench
from .verilated import VerilatedBoard

__all__ = ["SimulatedLine", "VerilatedSerial", "build_serial_board"]

_CYCLES_PER_SECOND = 200_000   # of a time-out: what a simulation may get done in it


class VerilatedSerial(VerilatedBoard):
    """A ``SerialBench`` with ``serial.cpp``."""

    main = Path(__file__).with_name("serial.cpp")

    @override
    def paths(self) -> list[str]:
        return ["chip.ram.ram.words"]

    @override
    def _main(self, design: VerilogModule, wave_suffix: str | None) -> list[str]:
        return ["-CFLAGS", f"-DBIT_CYCLES={BIT_CYCLES}", *super()._main(design, wave_suffix)]


def build_serial_board(parameters: AcceleratorParameters, nbytes: int,
                       optimize: bool = True, bare: bool = False) -> Build:
    """Compile a ULX3S, or a bare one, with an SDRAM of which ``nbytes``, or more, are simulated.

    Raises
    ------
    ToolError
        A tool is missing or fails.
    """
    words = 1 << (-(-nbytes // 4) - 1).bit_length()
    design = known_design("serial_board", lambda: SerialBench(parameters, words, bare=bare),
                          parameters, words, bare)
    return build_design(design, VerilatedSerial(optimize))


class SimulatedLine:
    """A ``host.uart.SerialLine`` to a build of ``build_serial_board``.

    Time passes while bytes are read: for ``timeout`` seconds, some thousand cycles.
    """

    def __init__(self, built: Build) -> None:
        self.timeout: float | None = None
        self._open = ExitStack()
        command = built.simulator.command(built.design, built.folder, None)
        self._process = self._open.enter_context(
            started(command, built.folder, stdin=PIPE))

    @classmethod
    def board(cls, built: Build) -> UartBoard:
        """A host's way to it."""
        return UartBoard("serial simulation", lambda: cls(built), MEMORY_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def write(self, data: bytes, /) -> int:
        """Send ``data``, and say how many bytes: all of them."""
        self._send(struct.pack("<cI", b"W", len(data)) + data)
        return len(data)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, those that came within ``timeout``."""
        cycles = int(_CYCLES_PER_SECOND * (1.0 if self.timeout is None else self.timeout))
        self._send(struct.pack("<cIQ", b"R", size, cycles))
        got, = struct.unpack("<I", self._receive(4))
        return self._receive(got)

    def store(self, place: int, content: bytes | memoryview) -> None:
        """Write to the SDRAM beside the board, in no time."""
        self._send(struct.pack("<cQQ", b"S", place, len(content)) + bytes(content))

    def state(self) -> tuple[int, Broken]:
        """Cycles so far, and the rule of the SDRAM that was broken."""
        self._send(b"N")
        now, broken = struct.unpack("<QB", self._receive(9))
        return now, Broken(broken)

    def close(self) -> None:
        """End the simulation."""
        if self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
        self._open.close()

    def _send(self, command: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise HostError("The simulation ended") from None

    def _receive(self, count: int) -> bytes:
        assert self._process.stdout is not None
        content = self._process.stdout.read(count)
        if len(content) < count:
            raise HostError("The simulation ended")
        return content
