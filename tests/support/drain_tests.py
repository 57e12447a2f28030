"""Cocotb tests of masters that are reset while memory is answering them."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus, AxiWriteBus
from cocotbext.axi.axi_slave import AxiSlaveRead, AxiSlaveWrite

from support.axi_bench import Memory
from support.axi_monitor import watch_port

SIZE = 4
WORD_WIDTH = 15


class Bench:
    """The masters, a memory that stalls, and an eye on its ports."""

    def __init__(self, dut, seed):
        self.dut, self.rng, self.edge = dut, random.Random(seed), RisingEdge(dut.clk)
        self.memory = Memory(seed)
        self.offers = {}
        for name in ("i_read", "i_write", "i_words"):
            getattr(dut, f"{name}__valid").value = getattr(dut, f"{name}__payload").value = 0
        dut.o_words__ready.value = dut.o_done__ready.value = 1
        dut.abort.value = 0
        self.words, self.done, self.hold = [], 0, 0.0

    async def start(self, stall):
        """``stall``: of every channel of memory, and of whoever takes the words."""
        dut, self.hold = self.dut, stall
        Clock(dut.clk, 10, unit="ns").start()
        slaves = (AxiSlaveRead(AxiReadBus.from_prefix(dut, "read_"), dut.clk, dut.rst,
                               target=self.memory),
                  AxiSlaveWrite(AxiWriteBus.from_prefix(dut, "write_"), dut.clk, dut.rst,
                                target=self.memory))
        for slave, names in zip(slaves, (("ar", "r"), ("aw", "w", "b")), strict=True):
            for name in names:
                rng = random.Random(self.rng.random())
                getattr(slave, f"{name}_channel").set_pause_generator(
                    iter(lambda rng=rng: rng.random() < stall, None))
        dut.rst.value = 1
        for _ in range(3):
            await self.edge
        dut.rst.value = 0
        await self.edge
        for prefix in ("read__", "write__"):
            watch_port(dut, prefix)

    def ask(self, read=None, write=None, words=()):
        """Offer requests (word, count), and words to write."""
        self.offers = {"i_read": [read] if read else [], "i_write": [write] if write else [],
                       "i_words": [word | 15 << 8 * SIZE for word in words]}
        for name in ("i_read", "i_write"):
            self.offers[name] = [word | count - 1 << WORD_WIDTH
                                 for word, count in self.offers[name]]
        self.words, self.done = [], 0
        self._offer()

    def _offer(self):
        for name, payloads in self.offers.items():
            getattr(self.dut, f"{name}__valid").value = int(bool(payloads))
            getattr(self.dut, f"{name}__payload").value = payloads[0] if payloads else 0

    async def cycle(self):
        """One cycle: see what was taken and what came."""
        await self.edge
        dut = self.dut
        for name, payloads in self.offers.items():
            if payloads and getattr(dut, f"{name}__ready").value:
                payloads.pop(0)
        if dut.o_words__valid.value and dut.o_words__ready.value:
            self.words.append(int(dut.o_words__payload.value) & (1 << 8 * SIZE) - 1)
        self.done += int(dut.o_done__valid.value)
        dut.o_words__ready.value = int(self.rng.random() >= self.hold)
        self._offer()

    def value(self, word):
        return int.from_bytes(self.memory.data[word * SIZE:(word + 1) * SIZE], "little")


async def _abort_after(bench, cycles):
    """Begin to read and write, abort; memory has old or new words, the next accesses are right."""
    old = [bench.value(word) for word in range(700)]
    new = [bench.rng.getrandbits(32) for _ in range(90)]
    bench.ask(read=(200, 90), write=(500, 90), words=new)
    for _ in range(cycles):
        await bench.cycle()
    bench.ask()
    bench.dut.abort.value = 1
    await bench.cycle()
    bench.dut.abort.value = 0
    await bench.cycle()
    for _ in range(3000):
        if not bench.dut.aborting.value:
            break
        await bench.cycle()
    assert not bench.dut.aborting.value, "the abort never ended"
    for word in range(700):
        allowed = (old[word], new[word - 500]) if 500 <= word < 590 else (old[word],)
        assert bench.value(word) in allowed, f"word {word} after {cycles} cycles"
    more = [bench.rng.getrandbits(32) for _ in range(20)]
    bench.ask(read=(300, 30), write=(600, 20), words=more)
    for _ in range(3000):
        if len(bench.words) == 30 and bench.done == 1:
            break
        await bench.cycle()
    assert bench.words == [bench.value(word) for word in range(300, 330)]
    assert [bench.value(word) for word in range(600, 620)] == more


@cocotb.test()
async def an_abort_at_any_time_ends_what_was_begun(dut):
    bench = Bench(dut, 1)
    await bench.start(0.0)
    for cycles in range(1, 60, 2):
        await _abort_after(bench, cycles)


@cocotb.test()
async def an_abort_with_stalls_on_all_channels(dut):
    bench = Bench(dut, 2)
    await bench.start(0.5)
    for cycles in range(1, 120, 7):
        await _abort_after(bench, cycles)
