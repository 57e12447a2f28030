"""What the cocotb tests of the AXI masters have in common: memory, monitors, requests."""

import random

from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus, AxiWriteBus
from cocotbext.axi.axi_slave import AxiSlaveRead, AxiSlaveWrite

from support.axi_monitor import watch_port
from support.axi_rules import FIELDS


class Memory:
    """Random bytes, some of which cannot be accessed."""

    def __init__(self, seed, size=1 << 16):
        self.data = bytearray(random.Random(seed).randbytes(size))
        self.forbidden = range(0)

    async def read(self, address, length):
        self._check(address)
        return bytes(self.data[address:address + length])

    async def write(self, address, data):
        self._check(address)
        self.data[address:address + len(data)] = data

    def _check(self, address):
        if address in self.forbidden:
            raise ValueError(f"no access to {address:#x}")


class Bench:
    """A master under test, its clock, a memory on its port, and an eye on the port."""

    def __init__(self, dut, seed):
        self.dut = dut
        self.rng = random.Random(seed)
        self.edge = RisingEdge(dut.clk)
        self.memory = Memory(seed)
        self.reads = hasattr(dut, "axi__arvalid")
        self.word_bytes = len(dut.axi__rdata if self.reads else dut.axi__wdata) // 8
        address = dut.axi__araddr if self.reads else dut.axi__awaddr
        self.word_width = len(address) - self.word_bytes.bit_length() + 1
        for name in ("i_request__valid", "i_request__payload", "clear", "o__ready"):
            getattr(dut, name).value = 0
        if not self.reads:
            dut.i__valid.value = dut.i__payload.value = 0
        self.slave = self.rules = None

    async def start(self, with_slave=True):
        """Start the clock, reset, and attach the memory."""
        Clock(self.dut.clk, 10, unit="ns").start()
        if with_slave:
            bus, kind = ((AxiReadBus, AxiSlaveRead) if self.reads else
                         (AxiWriteBus, AxiSlaveWrite))
            self.slave = kind(bus.from_prefix(self.dut, "axi_"), self.dut.clk, self.dut.rst,
                              target=self.memory)
        await self.reset()
        driven = ("ar", "aw", "w")
        self.rules = watch_port(self.dut, "axi__", tuple(FIELDS) if with_slave else driven)

    async def reset(self):
        self.dut.rst.value = 1
        for _ in range(3):
            await self.edge
        self.dut.rst.value = 0
        await self.edge

    def stall(self, probability):
        """Stall every channel of the memory with that probability, independently."""
        names = ("ar", "r") if self.reads else ("aw", "w", "b")
        for number, name in enumerate(names):
            rng = random.Random(f"{self.rng.random()} {number}")
            getattr(self.slave, f"{name}_channel").set_pause_generator(
                iter(lambda rng=rng: rng.random() < probability, None))

    async def send(self, stream, payloads, stall=0.0):
        """Offer payloads on an input stream, one after the other."""
        valid, ready, payload = (getattr(self.dut, f"{stream}__{name}")
                                 for name in ("valid", "ready", "payload"))
        for value in payloads:
            while self.rng.random() < stall:
                await self.edge
            valid.value = 1
            payload.value = value
            await self.edge
            while not ready.value:
                await self.edge
            valid.value = 0

    async def receive(self, count, stall=0.0):
        """Take ``count`` payloads from ``o``."""
        payloads = []
        held = None
        accepting = False
        while len(payloads) < count:
            accepting = self.rng.random() >= stall
            self.dut.o__ready.value = int(accepting)
            await self.edge
            payload = int(self.dut.o__payload.value) if self.dut.o__valid.value else None
            assert held is None or payload == held
            held = payload if payload is not None and not accepting else None
            if payload is not None and accepting:
                payloads.append(payload)
        self.dut.o__ready.value = 0
        return payloads

    def request(self, word, count):
        return word | count - 1 << self.word_width

    def requests(self, number, most):
        """Random (word, count), within the memory."""
        words = len(self.memory.data) // self.word_bytes
        counts = [self.rng.choice((1, 2, self.rng.randint(1, most))) for _ in range(number)]
        return [(self.rng.randrange(words - count), count) for count in counts]

    async def quiet(self, cycles=30):
        """Nothing comes out any more, and the master is at rest."""
        self.dut.o__ready.value = 1
        for _ in range(cycles):
            await self.edge
            assert not self.dut.o__valid.value
        assert not self.dut.busy.value
        self.dut.o__ready.value = 0
