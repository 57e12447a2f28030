"""Cocotb tests of the whole accelerator: registers, and a memory of cocotbext-axi."""

import itertools
import os
import random
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiReadBus, AxiResp, AxiWriteBus
from cocotbext.axi.axi_slave import AxiSlaveRead, AxiSlaveWrite

from support.axi_bench import Memory
from support.axi_monitor import watch_port
from trilobite.fpga.registers import COUNTER_REGISTERS, REGISTERS, RUN_REGISTERS
from trilobite.fpga.runs import RunError
from trilobite.hw.memory.axi import PortError

START, ABORT, CLEAR = 1, 2, 4
BUSY, FAILED, ABORTING = 1, 2, 4
LIMIT = 400_000   # cycles of any run here
PATIENCE = 500    # cycles between two looks at the status
PORT_ERRORS = {AxiResp.SLVERR: PortError.SLAVE, AxiResp.DECERR: PortError.DECODE}


class System:
    """An accelerator, its host and its memory."""

    def __init__(self, dut):
        self.dut, self.rng = dut, random.Random(1)
        with np.load(Path(os.environ["ACCELERATOR_TEST"])) as given:
            self.image, self.run = given["image"].tobytes(), given["run"].tolist()
            self.chosen_at, self.chosen = int(given["chosen_at"]), given["chosen"].tobytes()
        self.memory = Memory(0, size=0)
        self.host = self.reads = self.writes = None
        self.right = self.cycles = None

    async def start(self):
        """Reset, attach host and memory, and run once; the runtime's tokens must come out."""
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "control_"), dut.clk, dut.rst)
        self.reads = AxiSlaveRead(AxiReadBus.from_prefix(dut, "read_"), dut.clk, dut.rst,
                                  target=self.memory)
        self.writes = AxiSlaveWrite(AxiWriteBus.from_prefix(dut, "write_"), dut.clk, dut.rst,
                                    target=self.memory)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 3)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        for prefix in ("read__", "write__"):
            watch_port(dut, prefix)
        self.right = await self.whole_run()
        self.cycles = await self.count("cycles")
        end = self.chosen_at + len(self.chosen)
        assert self.image[self.chosen_at:end] != self.chosen
        assert self.right[self.chosen_at:end] == self.chosen, "not the runtime's tokens"

    def stall(self, probability):
        """Stall every channel of memory and of the host with that probability, independently."""
        channels = [getattr(side, f"{name}_channel") for side, names in (
            (self.reads, ("ar", "r")), (self.writes, ("aw", "w", "b")),
            (self.host.read_if, ("ar", "r")), (self.host.write_if, ("aw", "w", "b")),
        ) for name in names]
        for channel in channels:
            rng = random.Random(self.rng.random())
            channel.set_pause_generator(iter(lambda rng=rng: rng.random() < probability, None))

    async def get(self, register):
        return await self.host.read_dword(REGISTERS[register].address)

    async def count(self, counter):
        return await self.host.read_dword(COUNTER_REGISTERS[counter])

    async def begin(self):
        """Start the run from a fresh image, its counters at 0."""
        self.memory.data = bytearray(self.image)
        for address, value in zip(RUN_REGISTERS.values(), self.run, strict=True):
            await self.host.write_dword(address, value)
        await self.host.write_dword(REGISTERS["control"].address, START | CLEAR)

    async def wait(self, bit):
        """Until a status bit is 0; the status."""
        for _ in range(LIMIT // PATIENCE):
            status = await self.get("status")
            if not status & bit:
                return status
            await ClockCycles(self.dut.clk, PATIENCE)
        raise AssertionError(f"status bit {bit} never fell")

    async def whole_run(self):
        """A run without errors: what it left in memory."""
        await self.begin()
        assert await self.wait(BUSY) == 0
        return bytes(self.memory.data)

    async def abort(self):
        await self.host.write_dword(REGISTERS["control"].address, ABORT)
        assert await self.wait(ABORTING) == 0
        assert await self.get("error") == await self.count("cycles") == 0


@cocotb.test()
async def stalls_on_every_channel_change_nothing(dut):
    system = System(dut)
    await system.start()
    for probability in (0.1, 0.3, 0.6):
        system.stall(probability)
        assert await system.whole_run() == system.right, probability
        before, system.cycles = system.cycles, await system.count("cycles")
        assert system.cycles > before, "nothing was stalled"


@cocotb.test()
async def a_clean_run_follows_an_abort_in_the_prefill(dut):
    system = System(dut)
    await system.start()
    system.stall(0.3)
    owed = 0
    for cycles in (0, 50, *(system.rng.randrange(system.cycles // 2) for _ in range(6))):
        await system.begin()
        await ClockCycles(dut.clk, cycles + 1)
        assert await system.get("status") == BUSY
        owed += not system.reads.ar_channel.empty() or not system.reads.r_channel.empty()
        assert await system.count("tokens") == 0, "the prefill was over"
        await system.abort()
        assert await system.whole_run() == system.right, f"after an abort at {cycles}"
    assert owed, "no abort came while memory owed an answer"


@cocotb.test()
async def a_clean_run_follows_a_reset_in_the_prefill(dut):
    """Core, registers and port are reset together with the memory."""
    system = System(dut)
    await system.start()
    system.stall(0.3)
    for cycles in (1, 60, *(system.rng.randrange(system.cycles // 2) for _ in range(4))):
        await system.begin()
        await ClockCycles(dut.clk, cycles)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 3)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)
        assert await system.get("status") == await system.get("error") == 0
        assert await system.count("cycles") == 0
        assert await system.whole_run() == system.right, f"after a reset at {cycles}"


@cocotb.test()
async def refused_accesses_end_in_an_error_code(dut):
    system = System(dut)
    await system.start()
    cases = [(RunError.READ, 8, system.reads.r_channel, number) for number in (0, 9, 700)]
    cases += [(RunError.WRITE, 16, system.writes.b_channel, number) for number in (0, 1, 12)]
    for (error, at, channel, number), (response, expected) in itertools.product(
            cases, PORT_ERRORS.items()):
        refuse(channel, number, response)
        await system.begin()
        assert await system.wait(BUSY) == FAILED, f"{error.name} {number} {response.name}"
        assert await system.get("error") == error | expected << at
        assert await system.count("tokens") < 2, "the run went on to its end"
        del channel.send
        await system.abort()
        assert await system.whole_run() == system.right, f"after {error.name} {number}"


def refuse(channel, number, response):
    """Answer so from answer ``number`` on; what is read then is all zeros, or all ones."""
    send, answers = channel.send, itertools.count()

    async def refused(answer):
        if next(answers) >= number:
            if hasattr(channel.bus, "rdata"):
                answer.rdata = 0 if response == AxiResp.DECERR else (1 << 128) - 1
                answer.rresp = response
            else:
                answer.bresp = response
        await send(answer)

    channel.send = refused
