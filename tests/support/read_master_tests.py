"""Cocotb tests of the AXI read master."""

import cocotb
from cocotb.triggers import with_timeout

from support.axi_bench import Bench
from trilobite.hw.memory.axi import PortError, Response


def expected(bench, requests):
    """The beats that must come: the words, and a mark on each request's last one."""
    size = bench.word_bytes
    return [
        int.from_bytes(bench.memory.data[place * size:(place + 1) * size], "little")
        | (place == word + count - 1) << 8 * size
        for word, count in requests for place in range(word, word + count)
    ]


async def read(bench, requests, stall=0.0):
    """Send requests while taking all their words."""
    sender = cocotb.start_soon(bench.send(
        "i_request", [bench.request(*request) for request in requests], stall))
    words = await with_timeout(bench.receive(sum(count for _, count in requests), stall), 2, "ms")
    await sender
    return words


@cocotb.test()
async def reads_with_stalls_on_all_channels(dut):
    bench = Bench(dut, 1)
    await bench.start()
    for stall in (0.0, 0.3, 0.8):
        bench.stall(stall)
        requests = bench.requests(12, 100)
        assert await read(bench, requests, stall) == expected(bench, requests)
        await bench.quiet()
        assert int(dut.error.value) == PortError.NONE


@cocotb.test()
async def a_refused_word_is_reported_and_nothing_starves(dut):
    bench = Bench(dut, 2)
    await bench.start()
    size = bench.word_bytes
    bench.memory.forbidden = range(50 * size, 60 * size)
    for stall in (0.0, 0.5):
        bench.stall(stall)
        requests = [(0, 50), (40, 15), (60, 40)]
        words = await read(bench, requests, stall)
        right = expected(bench, requests)
        assert words[:60] == right[:60]
        assert words[65:] == right[65:]
        assert int(dut.error.value) == PortError.SLAVE
        dut.clear.value = 1
        await bench.edge
        dut.clear.value = 0
        assert await read(bench, requests[:1]) == right[:50]
        assert int(dut.error.value) == PortError.NONE
        await bench.quiet()


@cocotb.test()
async def a_reset_at_any_time_drops_everything(dut):
    bench = Bench(dut, 3)
    await bench.start()
    for cycles in range(1, 60, 4):
        bench.stall(0.3 * (cycles % 3))
        task = cocotb.start_soon(read(bench, [(5, 70), (200, 90)], 0.2))
        for _ in range(cycles):
            await bench.edge
        task.cancel()
        dut.i_request__valid.value = 0
        dut.o__ready.value = 0
        await bench.reset()
        bench.stall(0.0)
        requests = bench.requests(2, 30)
        assert await read(bench, requests) == expected(bench, requests)
        await bench.quiet()


async def answer(dut, edge, responses, lasts):
    """Take an address, and answer with these responses and marks."""
    dut.axi__arready.value = 1
    await edge
    while not dut.axi__arvalid.value:
        await edge
    dut.axi__arready.value = 0
    for response, last in zip(responses, lasts, strict=True):
        dut.axi__rvalid.value, dut.axi__rresp.value, dut.axi__rlast.value = 1, response, last
        await edge
        while not dut.axi__rready.value:
            await edge
        dut.axi__rvalid.value = 0


@cocotb.test()
async def every_broken_answer_has_its_code(dut):
    bench = Bench(dut, 4)
    for name in ("arready", "rvalid", "rresp", "rlast", "rdata", "rid"):
        getattr(dut, f"axi__{name}").value = 0
    await bench.start(with_slave=False)
    okay = Response.OKAY
    for responses, lasts, code in (
            ([okay] * 3, [0, 0, 1], PortError.NONE),
            ([okay, Response.DECERR, Response.SLVERR], [0, 0, 1], PortError.DECODE),
            ([okay, Response.SLVERR, Response.DECERR], [0, 0, 1], PortError.SLAVE),
            ([okay, Response.EXOKAY, okay], [0, 0, 1], PortError.PROTOCOL),
            ([okay] * 3, [0, 1, 1], PortError.PROTOCOL),
            ([okay] * 3, [0, 0, 0], PortError.PROTOCOL),
            ([okay] * 3, [0, 0, 1], PortError.NONE)):
        task = cocotb.start_soon(read(bench, [(0, 3)]))
        await with_timeout(answer(dut, bench.edge, responses, lasts), 1, "us")
        assert len(await task) == 3
        await bench.quiet()
        assert int(dut.error.value) == code
        dut.clear.value = 1
        await bench.edge
        dut.clear.value = 0


@cocotb.test()
async def silence_is_reported_and_the_answer_still_taken(dut):
    bench = Bench(dut, 5)
    for name in ("arready", "rvalid", "rresp", "rlast", "rdata", "rid"):
        getattr(dut, f"axi__{name}").value = 0
    await bench.start(with_slave=False)
    for _ in range(2):
        task = cocotb.start_soon(read(bench, [(0, 3)]))
        for cycle in range(200):   # the address is not taken
            await bench.edge
            assert cycle > 60 or int(dut.error.value) == PortError.NONE
        assert int(dut.error.value) == PortError.TIMEOUT
        assert dut.busy.value
        await answer(dut, bench.edge, [0] * 3, [0, 0, 1])
        assert len(await task) == 3
        dut.clear.value = 1
        await bench.edge
        dut.clear.value = 0
        await bench.quiet()
