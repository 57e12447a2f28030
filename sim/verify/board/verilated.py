"""Verilator without cocotb: a program of our own drives the clock, as fast as it goes."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import override

from ..bench.design import VerilogModule
from ..bench.ram import RAM_MODULE
from ..bench.simulators import Verilator
from .board_bench import memory_name

__all__ = ["VerilatedBoard"]

_MAIN = Path(__file__).with_name("main.cpp")


class VerilatedBoard(Verilator):
    """A ``BoardBench`` with ``main.cpp``; ``memories`` says how many memories it has."""

    name = "verilator-board"
    main = _MAIN

    def __init__(self, optimize: bool = True, memories: int = 1) -> None:
        super().__init__(optimize)
        self._memories = memories

    @override
    def fingerprint(self) -> list[str]:
        return [*super().fingerprint(), self.main.read_text()]

    @override
    def command(self, design: VerilogModule, folder: Path, waves: Path | None) -> list[str]:
        return [str(folder / "simulator"), *([] if waves is None else [str(waves)])]

    @override
    def _main(self, design: VerilogModule, wave_suffix: str | None) -> list[str]:
        names = ["__DOT__".join([design.name, *path.split(".")]) for path in self.paths()]
        memories = [f"-DMEMORY_{number}={name}" for number, name in enumerate(names)]
        traced = {None: [], ".vcd": ["-DTRACE_VCD"], ".fst": ["-DTRACE_FST"]}[wave_suffix]
        flags = " ".join([f"-DMEMORIES={len(names)}", *memories, *traced])
        return ["-CFLAGS", flags, str(self.main)]

    def paths(self) -> list[str]:
        """Where the design has its memories."""
        return [f"{memory_name(number)}.ram.ram.words" for number in range(self._memories)]

    @override
    def _public_ports(self, design: VerilogModule) -> str:
        return f'`verilator_config\npublic_flat_rw -module "{RAM_MODULE}" -var "words"\n'
