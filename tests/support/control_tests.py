"""Cocotb tests of the control registers."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from trilobite.fpga.control import COUNTER_REGISTERS, REGISTERS, RUN_REGISTERS
from trilobite.fpga.counters import COUNTERS, WIDTH
from trilobite.fpga.sequencer import run_layout

START, ABORT, CLEAR = 1, 2, 4
BUSY, FAILED, ABORTING, REFUSED = 1, 2, 4, 8


async def begin(dut):
    for name in ("o_run__ready", "i_busy", "i_aborting", "i_error", "i_read_error",
                 "i_write_error", "i_failed", "i_counts"):
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, unit="ns").start()
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "axi_"), dut.clk, dut.rst)
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    return host


@cocotb.test()
async def a_run_is_started_with_what_was_written(dut):
    host = await begin(dut)
    expected = 0
    for number, (name, field) in enumerate(run_layout()):
        value = 0x89ABCDEF * (number + 3) & (1 << field.width) - 1
        await host.write_dword(RUN_REGISTERS[name], value)
        assert await host.read_dword(RUN_REGISTERS[name]) == value
        expected |= value << field.offset
    await host.write(RUN_REGISTERS["program"] + 1, b"\x5a")
    expected = expected & ~0xFF00 | 0x5A00
    assert not dut.o_run__valid.value
    await host.write_dword(REGISTERS["control"], START)
    assert dut.o_run__valid.value
    assert int(dut.o_run__payload.value) == expected
    assert await host.read_dword(REGISTERS["status"]) == BUSY
    # An offered run does not change, and a second one is refused.
    assert (await host.write(RUN_REGISTERS["tokens"], bytes(4))).resp == AxiResp.SLVERR
    await host.write_dword(REGISTERS["control"], START)
    assert await host.read_dword(REGISTERS["status"]) == BUSY | REFUSED
    assert int(dut.o_run__payload.value) == expected
    dut.o_run__ready.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    assert not dut.o_run__valid.value
    assert await host.read_dword(REGISTERS["status"]) == REFUSED


@cocotb.test()
async def nothing_starts_while_busy_failed_or_aborting(dut):
    host = await begin(dut)
    for name, value, bit in (("i_busy", 1, BUSY), ("i_error", 5, FAILED),
                             ("i_aborting", 1, ABORTING)):
        getattr(dut, name).value = value
        await host.write_dword(REGISTERS["control"], START)
        assert not dut.o_run__valid.value
        assert await host.read_dword(REGISTERS["status"]) == bit | REFUSED
        getattr(dut, name).value = 0
        await host.write_dword(REGISTERS["control"], ABORT)
        assert await host.read_dword(REGISTERS["status"]) == 0


@cocotb.test()
async def an_error_and_counters_can_be_read(dut):
    host = await begin(dut)
    dut.i_error.value, dut.i_read_error.value, dut.i_write_error.value = 4, 2, 3
    dut.i_failed.value = 0xCAFE_F00D
    assert await host.read_dword(REGISTERS["error"]) == 0x0003_0204
    assert await host.read_dword(REGISTERS["failed"]) == 0xCAFE_F00D
    counts = [0x12_3456_7890 + 0x1_0101_0101 * number for number in range(len(COUNTERS))]
    for change in (0, (1 << WIDTH * len(COUNTERS)) - 1):
        for number, name in enumerate(COUNTERS):
            packed = sum(count << WIDTH * place for place, count in enumerate(counts))
            dut.i_counts.value = packed
            low = await host.read_dword(COUNTER_REGISTERS[name])
            dut.i_counts.value = packed ^ change    # the high bits go with the low ones read
            high = await host.read_dword(COUNTER_REGISTERS[name] + 4)
            assert low | high << 32 == counts[number]


@cocotb.test()
async def unknown_addresses_answer_slverr(dut):
    host = await begin(dut)
    counters = COUNTER_REGISTERS.values()
    known = {*REGISTERS.values(), *RUN_REGISTERS.values(), *counters,
             *(address + 4 for address in counters)}
    assert len(known) == len(REGISTERS) + len(RUN_REGISTERS) + 2 * len(counters)
    for address in range(0, 256, 4):
        read = await host.read(address, 4)
        assert (read.resp == AxiResp.OKAY) == (address in known), hex(address)
        if address != REGISTERS["control"]:
            write = await host.write(address, bytes(4))
            assert (write.resp == AxiResp.OKAY) == (address in RUN_REGISTERS.values())
