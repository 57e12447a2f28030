"""Cocotb test: the unpacker reports each byte value in the cycle after its word, and only then."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


@cocotb.test()
async def invalid_bytes(dut):
    edge = RisingEdge(dut.clk)
    dut.i__valid.value = 0
    dut.i__payload.value = 0
    dut.o__ready.value = 1
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    await edge
    await edge
    dut.rst.value = 0
    places = (len(dut.i__payload) - 1) // 8
    expected = False
    for offered in (True, False):
        for place in range(places):
            for value in range(256):
                dut.i__valid.value = int(offered)
                dut.i__payload.value = value << 8 * place
                await edge
                assert bool(dut.invalid.value) == expected, (place, value, offered)
                expected = offered and value > 242
