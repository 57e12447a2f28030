"""One memory port that several read, and one that several write."""

import random

import pytest
from amaranth.sim import Simulator

from trilobite.hw.memory.shared_reader import SharedReader
from trilobite.hw.memory.shared_writer import SharedWriter

WORD, QUEUES, LIMIT = 4, (8, 12, 8), 6000


def content(word):
    return word * 2654435761 & 0xFFFF_FFFF


class Memory:
    """Bursts in their order; words when chance allows."""

    def __init__(self, rng, stall):
        self.rng, self.stall, self.words, self.offer = rng, stall, [], None

    def step(self, ctx, axi):
        """Drive this cycle."""
        self.ready = self.rng.random() >= self.stall
        ctx.set(axi.arready, self.ready)
        if self.offer is None and self.words and self.rng.random() >= self.stall:
            self.offer = self.words.pop(0)
        ctx.set(axi.rvalid, self.offer is not None)
        if self.offer:
            word, last = self.offer
            ctx.set(axi.rdata, content(word))
            ctx.set(axi.rlast, last)

    def note(self, ctx, axi):
        """Look at this cycle."""
        if self.ready and ctx.get(axi.arvalid):
            first, beats = ctx.get(axi.araddr) // WORD, ctx.get(axi.arlen) + 1
            self.words += [(first + beat, beat == beats - 1) for beat in range(beats)]
        if self.offer and ctx.get(axi.rready):
            self.offer = None


@pytest.mark.parametrize(("stall", "hold"), [(0.0, 0.0), (0.4, 0.0), (0.1, 0.8), (0.6, 0.6)])
def test_every_reader_gets_its_words_in_order_however_slow_another_is(stall, hold):
    rng = random.Random(int(10 * stall + hold))
    reader = SharedReader(queues=QUEUES, address_width=16, word_bytes=WORD, max_burst=8,
                          outstanding=4, count_width=8)
    requests = [[(rng.randrange(2000), rng.randrange(1, 40)) for _ in range(6)] for _ in QUEUES]
    asks = [list(one) for one in requests]
    came = [[] for _ in QUEUES]
    expected = [[(content(word), word == first + count - 1) for first, count in one
                 for word in range(first, first + count)] for one in requests]
    memory = Memory(rng, stall)

    async def bench(ctx):
        for _ in range(LIMIT):
            memory.step(ctx, reader.axi)
            ready = []
            for number, asked in enumerate(asks):
                request, out = reader.i_request[number], reader.o[number]
                ctx.set(request.valid, bool(asked))
                if asked:
                    ctx.set(request.p, {"word": asked[0][0], "more": asked[0][1] - 1})
                ready.append(rng.random() >= (hold if number == 0 else 0.1))
                ctx.set(out.ready, ready[-1])
            for number, asked in enumerate(asks):
                if asked and ctx.get(reader.i_request[number].ready):
                    asked.pop(0)
                out = reader.o[number]
                if ready[number] and ctx.get(out.valid):
                    data = int.from_bytes(bytes(ctx.get(out.p.data)), "little")
                    came[number].append((data, bool(ctx.get(out.p.last))))
            memory.note(ctx, reader.axi)
            await ctx.tick()
            if sum(map(len, came)) == sum(map(len, expected)):
                break
        assert ctx.get(reader.error) == 0

    simulator = Simulator(reader)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert came == expected


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_a_writer_s_words_follow_its_request(stall):
    rng = random.Random(3)
    writer = SharedWriter(writers=3, address_width=16, word_bytes=WORD, count_width=8)
    requests = [[(number * 1000 + at, rng.randrange(1, 9)) for at in range(5)]
                for number in range(3)]
    asks = [list(one) for one in requests]
    words = [[(number, at, beat) for at, count in one for beat in range(count)]
             for number, one in enumerate(requests)]
    given = [[(at % 256 << 16 | number << 8 | beat) for number, at, beat in one] for one in words]
    left, came, data = [list(one) for one in given], [], []

    async def bench(ctx):
        for _ in range(LIMIT):
            offers = [bool(one) and rng.random() >= stall for one in left]
            ready = [rng.random() >= stall for _ in range(2)]
            for number in range(3):
                request, word = writer.i_request[number], writer.i[number]
                ctx.set(request.valid, bool(asks[number]))
                if asks[number]:
                    first, count = asks[number][0]
                    ctx.set(request.p, {"word": first, "more": count - 1})
                ctx.set(word.valid, offers[number])
                if left[number]:
                    ctx.set(word.p.as_value(), left[number][0])
            ctx.set(writer.o_request.ready, ready[0])
            ctx.set(writer.o.ready, ready[1])
            taken = [number for number in range(3)
                     if asks[number] and ctx.get(writer.i_request[number].ready)]
            moved = [number for number in range(3)
                     if offers[number] and ctx.get(writer.i[number].ready)]
            if ready[0] and ctx.get(writer.o_request.valid):
                came.append((ctx.get(writer.o_request.p.word), ctx.get(writer.o_request.p.more)))
            if ready[1] and ctx.get(writer.o.valid):
                data.append(ctx.get(writer.o.p.as_value()))
            await ctx.tick()
            assert len(taken) < 2
            assert len(moved) < 2
            for number in taken:
                asks[number].pop(0)
            for number in moved:
                left[number].pop(0)
            if not any(left):
                break

    simulator = Simulator(writer)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert sorted(came) == sorted((first, count - 1) for one in requests for first, count in one)
    expected = []
    for first, more in came:   # in the order in which they were taken
        number = first // 1000
        expected += given[number][:more + 1]
        del given[number][:more + 1]
    assert data == expected
