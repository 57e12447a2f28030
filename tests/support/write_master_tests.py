"""Cocotb tests of the AXI write master."""

import cocotb
from cocotb.triggers import with_timeout

from support.axi_bench import Bench
from trilobite.hw.memory.axi import PortError, Response


async def write(bench, requests, stall=0.0, whole=True):
    """Write random words, some bytes only unless ``whole``; return completions and the image."""
    size = bench.word_bytes
    image = bytearray(bench.memory.data)
    words = []
    for word, count in requests:
        for place in range(word, word + count):
            data = bench.rng.randbytes(size)
            strobe = (1 << size) - 1 if whole else bench.rng.getrandbits(size)
            words.append(int.from_bytes(data, "little") | strobe << 8 * size)
            for byte in range(size):
                if strobe >> byte & 1:
                    image[place * size + byte] = data[byte]
    tasks = [
        cocotb.start_soon(bench.send("i", words, stall)),
        cocotb.start_soon(bench.send(
            "i_request", [bench.request(*request) for request in requests], stall)),
    ]
    done = await with_timeout(bench.receive(len(requests), stall), 2, "ms")
    for task in tasks:
        await task
    return done, image


@cocotb.test()
async def writes_with_stalls_on_all_channels(dut):
    bench = Bench(dut, 1)
    await bench.start()
    for stall, whole in ((0.0, True), (0.3, False), (0.8, False)):
        bench.stall(stall)
        requests = bench.requests(12, 100)
        done, image = await write(bench, requests, stall, whole)
        assert done == [0] * len(requests)
        assert bench.memory.data == image
        await bench.quiet()
        assert int(dut.error.value) == PortError.NONE


@cocotb.test()
async def only_the_refused_request_fails(dut):
    bench = Bench(dut, 2)
    await bench.start()
    bench.memory.forbidden = range(50 * bench.word_bytes, 60 * bench.word_bytes)
    for stall in (0.0, 0.5):
        bench.stall(stall)
        done, _ = await write(bench, [(0, 50), (40, 30), (60, 40)], stall)
        assert done == [0, 1, 0]
        assert int(dut.error.value) == PortError.SLAVE
        dut.clear.value = 1
        await bench.edge
        dut.clear.value = 0
        await bench.quiet()
        assert int(dut.error.value) == PortError.NONE


@cocotb.test()
async def a_reset_at_any_time_drops_everything(dut):
    bench = Bench(dut, 3)
    await bench.start()
    for cycles in range(1, 60, 4):
        bench.stall(0.3 * (cycles % 3))
        size = bench.word_bytes
        words = [bench.rng.getrandbits(9 * size) for _ in range(160)]
        tasks = [cocotb.start_soon(bench.send("i", words)),
                 cocotb.start_soon(bench.send("i_request", [bench.request(5, 70),
                                                            bench.request(200, 90)]))]
        for _ in range(cycles):
            await bench.edge
        for task in tasks:
            task.cancel()
        dut.i__valid.value = 0
        dut.i_request__valid.value = 0
        await bench.reset()
        bench.stall(0.0)
        requests = bench.requests(2, 30)
        done, image = await write(bench, requests)
        assert done == [0, 0]
        assert bench.memory.data == image
        await bench.quiet()


async def answer(dut, edge, response):
    """Take an address and a burst's words, and answer."""
    dut.axi__awready.value = 1
    dut.axi__wready.value = 1
    await edge
    while not (dut.axi__wvalid.value and dut.axi__wlast.value):
        await edge
    dut.axi__awready.value = 0
    dut.axi__wready.value = 0
    dut.axi__bvalid.value, dut.axi__bresp.value = 1, response
    await edge
    while not dut.axi__bready.value:
        await edge
    dut.axi__bvalid.value = 0


async def start_without_memory(dut, seed):
    bench = Bench(dut, seed)
    for name in ("awready", "wready", "bvalid", "bresp", "bid"):
        getattr(dut, f"axi__{name}").value = 0
    await bench.start(with_slave=False)
    return bench


@cocotb.test()
async def every_broken_answer_has_its_code(dut):
    bench = await start_without_memory(dut, 4)
    for response, code in ((Response.OKAY, PortError.NONE), (Response.DECERR, PortError.DECODE),
                           (Response.SLVERR, PortError.SLAVE),
                           (Response.EXOKAY, PortError.PROTOCOL), (Response.OKAY, PortError.NONE)):
        task = cocotb.start_soon(write(bench, [(0, 3)]))
        await with_timeout(answer(dut, bench.edge, response), 1, "us")
        done, _ = await task
        assert done == [int(code != PortError.NONE)]
        await bench.quiet()
        assert int(dut.error.value) == code
        dut.clear.value = 1
        await bench.edge
        dut.clear.value = 0


@cocotb.test()
async def silence_is_reported_and_the_answer_still_taken(dut):
    bench = await start_without_memory(dut, 5)
    for _ in range(2):
        task = cocotb.start_soon(write(bench, [(0, 3)]))
        for cycle in range(200):
            await bench.edge
            assert cycle > 60 or int(dut.error.value) == PortError.NONE
        assert int(dut.error.value) == PortError.TIMEOUT
        await answer(dut, bench.edge, Response.OKAY)
        assert (await task)[0] == [0]
        dut.clear.value = 1
        await bench.edge
        dut.clear.value = 0
        await bench.quiet()


async def take_together(dut, edge):
    """Take each address together with its burst's first word, and never one of them alone."""
    while True:
        while not (dut.axi__awvalid.value and dut.axi__wvalid.value):
            await edge
        dut.axi__awready.value = dut.axi__wready.value = 1
        await edge
        dut.axi__awready.value = 0
        while not (dut.axi__wvalid.value and dut.axi__wlast.value):
            await edge
        dut.axi__wready.value, dut.axi__bvalid.value = 0, 1
        await edge
        while not dut.axi__bready.value:
            await edge
        dut.axi__bvalid.value = 0


@cocotb.test()
async def a_slave_that_takes_address_and_word_together_is_served(dut):
    bench = await start_without_memory(dut, 6)
    slave = cocotb.start_soon(take_together(dut, bench.edge))
    done, _ = await write(bench, [(0, 3), (100, 12), (7, 1)], 0.2)
    assert done == [0, 0, 0]
    assert bench.rules.counts["w"] == 16
    assert int(dut.error.value) == PortError.NONE
    slave.cancel()
