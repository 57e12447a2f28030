"""Four narrow ports that are one wide port, each as slow as it likes."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, Out, connect, flipped
from amaranth.sim import Simulator

from support.axi_rules import FIELDS, AxiRules
from trilobite.hw.memory.read_master import ReadMaster
from trilobite.hw.memory.responses import PortError, Response
from trilobite.hw.memory.striped_port import StripedPort
from trilobite.hw.memory.write_master import WriteMaster
from trilobite.hw.unused import never_elaborated

WORD, PORTS = 16, 4
PART = WORD // PORTS
SPACING, BASE = 1 << 14, 3 << 12
SIZE = {"address_width": 14, "word_bytes": WORD}
STRIPED = {**SIZE, "ports": PORTS, "port_address_width": 17}


class Striped(Component):
    """A read and a write master of wide words on the ports."""

    def __init__(self):
        masters = {**SIZE, "max_burst": 8, "outstanding": 4, "count_width": 10, "timeout": 4000}
        self.parts = ReadMaster(**masters), WriteMaster(**masters), StripedPort(**STRIPED)
        read, write, ports = (part.signature.members for part in self.parts)
        super().__init__({
            "i_read": read["i_request"], "o_words": read["o"], "i_write": write["i_request"],
            "i_words": write["i"], "o_done": write["o"], "o_read": ports["o_read"],
            "o_write": ports["o_write"], "errors": Out(6),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.read, m.submodules.write, m.submodules.ports = read, write, ports = self.parts
        m.d.comb += [ports.i_base.eq(BASE), ports.i_spacing.eq(SPACING)]
        connect(m, read.axi, ports.i_read)
        connect(m, write.axi, ports.i_write)
        for outer, inner in ((self.i_read, read.i_request), (self.o_words, read.o),
                             (self.i_write, write.i_request), (self.i_words, write.i),
                             (self.o_done, write.o)):
            connect(m, flipped(outer), inner)
        for number in range(PORTS):
            connect(m, ports.o_read[number], flipped(self.o_read[number]))
            connect(m, ports.o_write[number], flipped(self.o_write[number]))
        m.d.comb += self.errors.eq(read.error | write.error << 3)
        return m


class Memory:
    """A slow memory behind a port: reads and writes are served in their order, words at random."""

    def __init__(self, number, rng, stall):
        self.number, self.rng, self.stall = number, rng, stall
        self.rules = AxiRules(PART)
        self.words = {}
        self.reads, self.writes, self.data, self.answers = [], [], [], []
        self.offers = {"r": None, "b": None}
        self.refused = range(0)
        self.short = False   # the next burst ends a word early

    def step(self, ctx, ports):
        """Drive what is offered in this cycle, and look at it."""
        self._drive(ctx, ports)
        shown = {}
        for name, fields in FIELDS.items():
            port = ports[name in ("aw", "w", "b")]
            payload = None
            if ctx.get(getattr(port, f"{name}valid")):
                payload = {field: ctx.get(getattr(port, name + field)) for field in fields}
            shown[name] = bool(ctx.get(getattr(port, f"{name}ready"))), payload
        if not self.short:
            self.rules.step(shown)
        taken = {name: payload for name, (ready, payload) in shown.items() if ready and payload}
        for name in ("r", "b"):
            if name in taken:
                self.offers[name] = None
        self._note(taken)

    def _note(self, taken):
        if "ar" in taken:
            first = (taken["ar"]["addr"] - BASE - self.number * SPACING) // PART
            beats = taken["ar"]["len"] + 1
            last = beats - 2 if self.short and beats > 1 else beats - 1
            self.reads += [(first + beat, int(beat == last)) for beat in range(beats)]
        if "aw" in taken:
            self.writes.append(taken["aw"])
        if "w" in taken:
            self.data.append(taken["w"])
        while self.writes and len(self.data) > self.writes[0]["len"]:
            burst = self.writes.pop(0)
            first = (burst["addr"] - BASE - self.number * SPACING) // PART
            for beat in range(burst["len"] + 1):
                written = self.data.pop(0)
                old = self.words.get(first + beat, 0)
                mask = sum(0xFF << 8 * byte for byte in range(PART) if written["strb"] >> byte & 1)
                self.words[first + beat] = old & ~mask | written["data"] & mask
            self.answers.append(self._response(first))

    def _response(self, word):
        return int(Response.SLVERR if word in self.refused else Response.OKAY)

    def _drive(self, ctx, ports):
        moves = [self.rng.random() >= self.stall for _ in range(5)]
        for name, go in zip(("ar", "aw", "w"), moves, strict=False):
            ctx.set(getattr(ports[name != "ar"], f"{name}ready"), go)
        if self.offers["r"] is None and self.reads and moves[3]:
            word, last = self.reads.pop(0)
            self.offers["r"] = {"data": self.words.get(word, 0), "last": last,
                                "resp": self._response(word), "id": 0}
        if self.offers["b"] is None and self.answers and moves[4]:
            self.offers["b"] = {"resp": self.answers.pop(0), "id": 0}
        for name, port in (("r", ports[0]), ("b", ports[1])):
            ctx.set(getattr(port, f"{name}valid"), self.offers[name] is not None)
            for field, value in (self.offers[name] or {}).items():
                ctx.set(getattr(port, name + field), value)


def run(writes, reads, stalls, change=lambda memories: None):
    """Write random words, read: (memories, what must be there, what came, completions, errors)."""
    rng = random.Random(0)
    dut = Striped()
    memories = [Memory(number, random.Random(number), stall) for number, stall in enumerate(stalls)]
    change(memories)
    data = [[rng.getrandbits(8 * WORD) for _ in range(count)] for _, count in writes]
    right = {first + place: value for (first, _), values in zip(writes, data, strict=True)
             for place, value in enumerate(values)}
    came, done, errors = [], [], []

    async def bench(ctx):
        offers = {
            dut.i_write: [word | count - 1 << 10 for word, count in writes],
            dut.i_words: [value | (1 << WORD) - 1 << 8 * WORD for values in data
                          for value in values],
            dut.i_read: []}
        asks = [word | count - 1 << 10 for word, count in reads]
        ctx.set(dut.o_done.ready, 1)
        ctx.set(dut.o_words.ready, 1)
        for _ in range(8000):
            for port, payloads in offers.items():
                ctx.set(port.valid, bool(payloads))
                if payloads:
                    ctx.set(port.payload.as_value(), payloads[0])
            for port, payloads in offers.items():
                if payloads and ctx.get(port.ready):
                    payloads.pop(0)
            if ctx.get(dut.o_done.valid):
                done.append(ctx.get(dut.o_done.p))
                if len(done) == len(writes):
                    offers[dut.i_read] = asks
            if ctx.get(dut.o_words.valid):
                came.append(ctx.get(dut.o_words.p.data.as_value()))
            for number, memory in enumerate(memories):
                memory.step(ctx, (dut.o_read[number], dut.o_write[number]))
            await ctx.tick()
            if len(came) == sum(count for _, count in reads):
                break
        errors.append(ctx.get(dut.errors))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return memories, right, came, done, errors[0]


WRITES = [(3, 20), (100, 1), (200, 17), (505, 9)]
READS = [(3, 20), (198, 19), (100, 1), (505, 9)]


@pytest.mark.parametrize("stalls", [
    (0.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.5, 0.5), (0.0, 0.9, 0.0, 0.6), (0.95, 0.0, 0.0, 0.0)])
def test_every_word_is_put_together_of_its_parts_however_late_a_port_is(stalls):
    memories, right, came, done, errors = run(WRITES, READS, stalls)
    words = [right.get(word, 0) for first, count in READS for word in range(first, first + count)]
    assert came == words
    assert done == [0] * len(WRITES)
    assert errors == 0
    for number, memory in enumerate(memories):
        assert {word: value >> 8 * PART * number & (1 << 8 * PART) - 1
                for word, value in right.items()} == memory.words
        assert memory.rules.counts["r"] == len(words)


@pytest.mark.parametrize("number", range(PORTS))
def test_an_error_of_any_port_is_reported(number):
    def refuse(memories):
        memories[number].refused = range(200, 201)

    *_, done, errors = run(WRITES, READS, (0.0, 0.3, 0.5, 0.1), refuse)
    assert done == [0, 0, 1, 0]
    assert errors == PortError.SLAVE | PortError.SLAVE << 3


def test_ports_that_disagree_about_the_end_of_a_burst_are_reported():
    def end_early(memories):
        memories[2].short = True

    *_, errors = run([(0, 8)], [(0, 8)], (0.0,) * PORTS, end_early)
    assert errors & 7 == PortError.PROTOCOL


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"ports": 3}, "ports must be 2 or 4, and less than the 16 bytes of a word, not 3"),
    ({"word_bytes": 4}, "ports must be 2 or 4, and less than the 4 bytes of a word, not 4"),
    ({"port_address_width": 11}, "A region of 4096 bytes exceeds port_address_width = 11"),
])
def test_regions_that_do_not_fit_are_refused(changed, sentence):
    with never_elaborated(), pytest.raises(ValueError, match=sentence):
        StripedPort(**STRIPED | changed)
