"""Runs inside the simulator: the accelerator's host. Python sleeps while a run is under way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer, with_timeout
from cocotb.utils import get_sim_time

from ....fpga.descriptors import describe_operation
from ....fpga.events import COUNTERS, WIDTH
from ....fpga.sequencer import run_layout
from .program_run import FOLDER_VARIABLE
from .run import DONE
from .traffic import PERIOD_NS, reset


def _pack(fields: dict[str, int]) -> int:
    layout = run_layout()
    return sum(fields[name] << member.offset for name, member in layout)


class ProgramHost:
    """Loads words, starts runs, reads words back."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.edge = RisingEdge(dut.clk)
        self.reset_at = 0
        self.word_bytes = len(dut.o_dump__payload) // 8
        for port in ("i_load", "i_run", "i_dump"):
            getattr(dut, f"{port}__valid").value = 0
            getattr(dut, f"{port}__payload").value = 0
        for name in ("o_dump__ready", "dumps", "clear", "rst"):
            getattr(dut, name).value = 0

    def now(self) -> int:
        """Cycles simulated so far."""
        return round(get_sim_time("ns")) // PERIOD_NS

    async def load(self, first: int, words: np.ndarray) -> None:
        """Write uint8 [words, word_bytes] from word number ``first`` on."""
        shift = 8 * words.shape[1]
        self.dut.i_load__valid.value = 1
        for number, word in enumerate(words, first):
            self.dut.i_load__payload.value = int.from_bytes(word.tobytes(), "little") | (
                number << shift)
            await self.edge
        self.dut.i_load__valid.value = 0

    def counts(self) -> list[int]:
        """Each of ``COUNTERS``."""
        counts = int(self.dut.o_counts.value)
        mask = (1 << WIDTH) - 1
        return [counts >> WIDTH * number & mask for number in range(len(COUNTERS))]

    async def run(self, fields: dict[str, int], look: int, cycle_limit: int) -> dict[str, Any]:
        """Do one run; its error and counts, and the counts every ``look`` cycles on the way."""
        dut = self.dut
        dut.clear.value = 1
        await self.edge
        dut.clear.value = 0
        dut.i_run__payload.value = _pack(fields)
        dut.i_run__valid.value = 1
        await self.edge
        while not dut.i_run__ready.value:
            await self.edge
        dut.i_run__valid.value = 0
        await self.edge
        started = self.now()
        looks = []
        while look and dut.o_busy.value:
            looks.append(self.counts())
            await Timer(look * PERIOD_NS, unit="ns")
        if dut.o_busy.value:
            await with_timeout(FallingEdge(dut.o_busy), cycle_limit * PERIOD_NS, "ns")
        await self.edge
        counts = self.counts()
        return {
            "started": started - self.reset_at,
            "error": int(dut.o_error.value),
            "failed": describe_operation(int(dut.o_failed.value)),
            "counts": counts, "looks": [*looks, counts],
        }

    async def dump(self, word: int, words: int) -> np.ndarray:
        """Read words back: uint8 [words, word_bytes]."""
        dut = self.dut
        count_place = len(dut.i_dump__payload) - 24
        dut.dumps.value = 1
        dut.i_dump__payload.value = word | (words - 1) << count_place
        dut.i_dump__valid.value = 1
        await self.edge
        while not dut.i_dump__ready.value:
            await self.edge
        dut.i_dump__valid.value = 0
        dut.o_dump__ready.value = 1
        read: list[int] = []
        mask = (1 << 8 * (self.word_bytes)) - 1
        while len(read) < words:
            await self.edge
            if dut.o_dump__valid.value:
                read.append(int(dut.o_dump__payload.value) & mask)
        dut.o_dump__ready.value = 0
        await self.edge
        dut.dumps.value = 0
        data = b"".join(value.to_bytes(self.word_bytes, "little") for value in read)
        return np.frombuffer(data, np.uint8).reshape(words, -1)


@cocotb.test()
async def program(dut: Any) -> None:
    """Do all runs that ``run_program`` left in the folder; leave what came out there."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    settings = json.loads((folder / "runs.json").read_text())
    host = ProgramHost(dut)
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    await reset(dut, host.edge)
    host.reset_at = host.now()
    with np.load(folder / "image.npz") as image:
        for word in image.files:
            await host.load(int(word), image[word])
    results: list[dict[str, Any]] = []
    dumps: dict[str, Any] = {}
    for number, run in enumerate(settings["runs"]):
        wanted, look = run.pop("dumps"), run.pop("look")
        results.append(await host.run(run, look, settings["cycle_limit"]))
        print(DONE, flush=True)
        if results[-1]["error"]:
            break
        for dump in wanted:
            dumps[f"{number}/{dump['name']}"] = await host.dump(dump["word"], dump["words"])
    await Timer(PERIOD_NS, unit="ns")
    np.savez(folder / "dumps.npz", **dumps)
    (folder / "results.json").write_text(json.dumps(results))
