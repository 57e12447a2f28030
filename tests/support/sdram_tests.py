"""Cocotb tests of the SDRAM's port: AXI4 masters of cocotbext-axi, and a host."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiReadBus, AxiWriteBus
from cocotbext.axi.axi_master import AxiMasterRead, AxiMasterWrite

from support.axi_monitor import watch_port
from trilobite.hw.memory.sdram import Command
from trilobite.sim.verify.bench.sdram import Broken

SIZE = 1 << 16   # bytes that the model keeps


class System:
    """The masters, and what memory must hold."""

    def __init__(self, dut, seed):
        self.dut, self.rng = dut, random.Random(seed)
        self.held = bytearray(SIZE)
        self.reads = self.writes = None

    async def start(self, writes=True):
        dut = self.dut
        for name in ("awvalid", "awlen", "wvalid", "wlast"):
            getattr(dut, f"write__{name}").value = 0
        dut.write__bready.value = 1
        Clock(dut.clk, 20, unit="ns").start()
        self.reads = AxiMasterRead(AxiReadBus.from_prefix(dut, "read_"), dut.clk, dut.rst)
        if writes:
            self.writes = AxiMasterWrite(AxiWriteBus.from_prefix(dut, "write_"), dut.clk, dut.rst)
        dut.i_host__valid.value = 0
        dut.o_host__ready.value = 1
        dut.rst.value = 1
        await ClockCycles(dut.clk, 3)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        for prefix in ("read__", "write__"):
            watch_port(dut, prefix, ("r", "b"))   # what the device under test drives

    def stall(self, probability):
        for channel in (self.reads.ar_channel, self.reads.r_channel, self.writes.aw_channel,
                        self.writes.w_channel, self.writes.b_channel):
            rng = random.Random(self.rng.random())
            channel.set_pause_generator(iter(lambda rng=rng: rng.random() < probability, None))

    def place(self, most):
        """An address and a length; one in three begins near the end of a row of 1,024 bytes."""
        length = self.rng.randrange(1, most)
        at = self.rng.randrange(SIZE - length)
        if self.rng.random() < 0.3:
            at = min(SIZE - length, at // 1024 * 1024 + 1000)
        return at, length

    async def write(self, at, contents):
        self.held[at:at + len(contents)] = contents
        await self.writes.write(at, bytes(contents), awid=0)

    async def check(self, at, length):
        answer = await self.reads.read(at, length, arid=0)
        assert answer.data == bytes(self.held[at:at + length]), f"{at:#x}, {length} bytes"

    async def host(self, word, written=None, strobe=15):
        """Write a word, or read it."""
        dut = self.dut
        fields = word | (written is not None) << 23 | (written or 0) << 24 | strobe << 56
        dut.i_host__payload.value = fields
        dut.i_host__valid.value = 1
        await RisingEdge(dut.clk)
        while not dut.i_host__ready.value:
            await RisingEdge(dut.clk)
        dut.i_host__valid.value = 0
        if written is not None:
            old = int.from_bytes(self.held[4 * word:4 * word + 4], "little")
            mask = sum(255 << 8 * lane for lane in range(4) if strobe >> lane & 1)
            self.held[4 * word:4 * word + 4] = (old & ~mask | written & mask).to_bytes(4, "little")
            return None
        while True:
            await RisingEdge(dut.clk)
            if dut.o_host__valid.value:
                return int(dut.o_host__payload.value)

    def kept_the_rules(self):
        return Broken(int(self.dut.o_broken.value)) == Broken.NONE


@cocotb.test()
async def what_was_written_is_read(dut):
    system = System(dut, 1)
    await system.start()
    for stall in (0.0, 0.3, 0.7):
        system.stall(stall)
        for _ in range(25):
            at, length = system.place(600)
            await system.write(at, system.rng.randbytes(length))
            await system.check(*system.place(1200))
        await system.check(0, 8192)
    assert system.kept_the_rules(), Broken(int(dut.o_broken.value)).name


@cocotb.test()
async def both_directions_and_a_host_at_once(dut):
    """Each in an eighth of memory of its own, so that the order between them does not matter."""
    system = System(dut, 2)
    await system.start()
    system.stall(0.2)
    part = SIZE // 8

    async def by_axi(first):
        for _ in range(30):
            at = first * part + system.rng.randrange(part - 300)
            await system.write(at, system.rng.randbytes(system.rng.randrange(1, 300)))
            await system.check(at, 290)

    async def by_host(first):
        for _ in range(60):
            word = (first * part) // 4 + system.rng.randrange(part // 4)
            await system.host(word, system.rng.getrandbits(32), system.rng.randrange(16))
            read = await system.host(word)
            assert read == int.from_bytes(system.held[4 * word:4 * word + 4], "little")

    tasks = [cocotb.start_soon(by_axi(0)), cocotb.start_soon(by_axi(3)),
             cocotb.start_soon(by_host(5))]
    for task in tasks:
        await task
    assert system.kept_the_rules(), Broken(int(dut.o_broken.value)).name


@cocotb.test()
async def a_write_without_its_words_holds_up_nobody(dut):
    """A master may need what it reads for the words of a write that it has asked for."""
    system = System(dut, 4)
    await system.start()
    await system.write(0x400, bytes(range(64)))
    words = system.writes.w_channel
    words.pause = True
    write = cocotb.start_soon(system.write(0x800, bytes(200)))
    await ClockCycles(dut.clk, 50)
    await with_timeout(system.check(0x400, 64), 20, "us")
    words.pause = False
    await write
    await system.check(0x800, 200)


@cocotb.test()
async def bursts_are_taken_long_before_their_words(dut):
    """As many as the accelerator has outstanding: else it would take the memory for dead."""
    system = System(dut, 5)
    await system.start(writes=False)
    for number in range(16):
        dut.write__awaddr.value, dut.write__awvalid.value = 0x100 * number, 1
        await RisingEdge(dut.clk)
        assert dut.write__awready.value, f"burst {number} is not taken"
    dut.write__awvalid.value = 0
    dut.write__wvalid.value, dut.write__wlast.value, dut.write__wstrb.value = 1, 1, 15
    for number in range(16):
        dut.write__wdata.value = number + 1
        system.held[0x100 * number:0x100 * number + 4] = (number + 1).to_bytes(4, "little")
        await RisingEdge(dut.clk)
        assert dut.write__wready.value
    dut.write__wvalid.value = 0
    await ClockCycles(dut.clk, 600)
    await system.check(0, 0x1000)


@cocotb.test()
async def a_stream_within_rows_takes_a_cycle_per_word(dut):
    """Eight bursts of 64 words, asked for together: 512 words, two rows, at most one refresh."""
    system = System(dut, 3)
    await system.start()
    await ClockCycles(dut.clk, 100)
    reads, cycles = 0, 0
    task = cocotb.start_soon(system.check(0, 2048))
    while not task.done():
        await RisingEdge(dut.clk)
        cycles += reads > 0
        reads += int(dut.o_command.value) == Command.READ
        if reads == 512:
            break
    await task
    refresh, rows = 12, 2 * 3
    assert reads == 512
    assert cycles <= 512 + rows + refresh * (1 + cycles // 120)
