"""The accelerator's RTL in a simulator, as a board that the host program drives."""

from __future__ import annotations

import struct
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from typing_extensions import override

from ....errors import HostError
from ....fpga.accelerator_parameters import AcceleratorParameters
from ....host.transport import Transport, check_place
from ....hw.memory.responses import Response
from ....tools.programs import PIPE, started
from ....tools.scratch import scratch_folder
from ...descriptions.ddr_timing import DdrTiming
from ..bench.build import Build, build_design
from ..bench.known_design import known_design
from .board_bench import BoardBench
from .verilated import VerilatedBoard

__all__ = ["BASE", "DRAM", "SimulatedBoard", "build_board"]

BASE = 1 << 16          # where the image lies: not at 0, as on no board
_CYCLES = 20_000        # simulated in one wait at most
DRAM = DdrTiming(latency=60, refresh_interval=1950, refresh_cycles=88)


def build_board(parameters: AcceleratorParameters, nbytes: int, timing: DdrTiming = DRAM,
                wave_suffix: str | None = None, optimize: bool = True, skew: int = 7) -> Build:
    """Compile an accelerator with a memory that has room for an image of ``nbytes``.

    Behind several ports there are as many memories, each slower by ``skew`` cycles than the one
    before.

    ``optimize``: for a fast simulation, else for a fast compilation. The default ``timing`` is
    DDR4's beside a fabric at 250 MHz: 60 cycles of latency, a refresh of 350 ns every 7.8 us.

    Raises
    ------
    ToolError
        A tool is missing or fails.
    """
    part_bytes = parameters.word_bytes // parameters.ports
    region = BASE + -(-nbytes // parameters.ports)
    depth = 1 << (-(-region // part_bytes) - 1).bit_length()
    design = known_design("board", lambda: BoardBench(parameters, depth, timing, skew),
                          parameters, depth, timing, skew)
    return build_design(design, VerilatedBoard(optimize, parameters.ports), wave_suffix)


class SimulatedBoard(Transport):
    """A ``Transport`` to a build of ``build_board``; ``cycles`` counts its clock.

    Memory is written and read beside the accelerator, as the processor of a board does it; the
    accelerator itself has it at its AXI port alone.
    """

    name = "sim"
    memory_base = BASE

    def __init__(self, built: Build, waves: Path | None = None) -> None:
        self._build, self._waves = built, None if waves is None else waves.absolute()
        self.cycles = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        folder = self._open.enter_context(scratch_folder())
        command = self._build.simulator.command(self._build.design, self._build.folder, self._waves)
        self._errors = self._open.enter_context((folder / "errors").open("w+b"))
        self._process = self._open.enter_context(started(
            command, folder, stdin=PIPE, stderr=self._errors.fileno()))
        self.memory_bytes = self._ask(b"Z", "<Q")[0] - BASE
        return self

    def __exit__(self, *reason: object) -> None:
        with self._open:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):   # what is left to send to one that died
                self._process.stdin.close()
            self._process.wait()   # it completes its waves

    @override
    def read_register(self, address: int) -> int:
        response, value = self._ask(struct.pack("<cI", b"R", address), "<BI")
        self._check(response, "read", address)
        return value

    @override
    def write_register(self, address: int, value: int) -> None:
        response, = self._ask(struct.pack("<cII", b"W", address, value), "<B")
        self._check(response, "written", address)

    @override
    def read_memory(self, offset: int, count: int) -> bytes:
        check_place(self, offset, count)
        self._send(struct.pack("<cQQ", b"L", BASE + offset, count))
        return self._receive(count)

    @override
    def write_memory(self, offset: int, content: bytes | memoryview) -> None:
        check_place(self, offset, len(content))
        self._send(struct.pack("<cQQ", b"S", BASE + offset, len(content)) + bytes(content))
        self._receive(1)

    @override
    def wait(self, seconds: float) -> bool:
        """It simulates some thousand cycles at most, however long that takes."""
        return self.simulate(_CYCLES)

    def simulate(self, cycles: int) -> bool:
        """Let the clock run until an interrupt, for so many cycles at most; whether one came."""
        raised, self.cycles = self._ask(struct.pack("<cQ", b"I", cycles), "<BQ")
        return bool(raised)

    def _ask(self, command: bytes, answer: str) -> tuple[int, ...]:
        self._send(command)
        return struct.unpack(answer, self._receive(struct.calcsize(answer)))

    def _send(self, command: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _receive(self, count: int) -> bytes:
        assert self._process.stdout is not None
        content = self._process.stdout.read(count)
        if len(content) < count:
            raise self._ended()
        return content

    def _ended(self) -> HostError:
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read(2000).decode(errors="replace").strip()
        return HostError(f"The simulation ended: {said or 'it said nothing'}")

    def _check(self, response: int, what: str, address: int) -> None:
        if response != Response.OKAY:
            said = Response(response).name if response in set(Response) else "no answer"
            raise HostError(f"sim: register 0x{address:x} cannot be {what}: {said}")
