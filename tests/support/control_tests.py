"""Cocotb tests of the control registers."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from support.tiny_accelerator import TINY
from trilobite.fpga.events import COUNTERS, WIDTH
from trilobite.fpga.registers import (
    ADDRESS_WIDTH,
    COUNTER_REGISTERS,
    IDENTITY,
    REGISTERS,
    RUN_REGISTERS,
    VERSION,
    Command,
    Interrupt,
    Status,
    configuration_hash,
)
from trilobite.fpga.sequencer import run_layout

START, ABORT, CLEAR = Command.START, Command.ABORT, Command.CLEAR
BUSY, FAILED, ABORTING, REFUSED = Status.BUSY, Status.FAILED, Status.ABORTING, Status.REFUSED


def at(name):
    return REGISTERS[name].address


async def begin(dut):
    for name in ("o_run__ready", "i_busy", "i_aborting", "i_error", "i_read_error",
                 "i_write_error", "i_failed", "i_counts", "i_token", "i_written"):
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
    await host.write_dword(at("control"), START)
    assert dut.o_run__valid.value
    assert int(dut.o_run__payload.value) == expected
    assert await host.read_dword(at("status")) == BUSY
    # An offered run does not change, and a second one is refused.
    assert (await host.write(RUN_REGISTERS["tokens"], bytes(4))).resp == AxiResp.SLVERR
    await host.write_dword(at("control"), START)
    assert await host.read_dword(at("status")) == BUSY | REFUSED
    assert int(dut.o_run__payload.value) == expected
    dut.o_run__ready.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    assert not dut.o_run__valid.value
    assert await host.read_dword(at("status")) == REFUSED


@cocotb.test()
async def nothing_starts_while_busy_failed_or_aborting(dut):
    host = await begin(dut)
    for name, value, bit in (("i_busy", 1, BUSY), ("i_error", 5, FAILED),
                             ("i_aborting", 1, ABORTING)):
        getattr(dut, name).value = value
        await host.write_dword(at("control"), START)
        assert not dut.o_run__valid.value
        assert await host.read_dword(at("status")) == bit | REFUSED
        getattr(dut, name).value = 0
        await host.write_dword(at("control"), ABORT)
        assert await host.read_dword(at("status")) == 0


@cocotb.test()
async def an_error_and_counters_can_be_read(dut):
    host = await begin(dut)
    dut.i_error.value, dut.i_read_error.value, dut.i_write_error.value = 4, 2, 3
    dut.i_failed.value = 0xCAFE_F00D
    assert await host.read_dword(at("error")) == 0x0003_0204
    assert await host.read_dword(at("failed")) == 0xCAFE_F00D
    counts = [0x12_3456_7890 + 0x1_0101_0101 * number for number in range(len(COUNTERS))]
    for change in (0, (1 << WIDTH * len(COUNTERS)) - 1):
        for number, name in enumerate(COUNTERS):
            packed = sum(count << WIDTH * place for place, count in enumerate(counts))
            dut.i_counts.value = packed
            low = await host.read_dword(COUNTER_REGISTERS[name])
            dut.i_counts.value = packed ^ change    # the high bits go with the low ones read
            high = await host.read_dword(COUNTER_REGISTERS[name] + 4)
            assert low | high << 32 == counts[number]


WRITABLE = {register.address for register in REGISTERS.values() if "write" in register.access
            or "clear" in register.access}
RESETS = {"word_bytes": TINY.word_bytes, "ports": TINY.ports, "max_tokens": TINY.max_tokens,
          "max_context": TINY.max_context, "max_vocabulary": TINY.max_vocabulary,
          "configuration": configuration_hash(TINY) & 0xFFFF_FFFF,
          "configuration_high": configuration_hash(TINY) >> 32}


@cocotb.test()
async def registers_are_those_of_the_table(dut):
    """After a reset they read as it says; all other addresses, and writes, answer SLVERR."""
    host = await begin(dut)
    known = {register.address: name for name, register in REGISTERS.items()}
    for address in range(0, 1 << ADDRESS_WIDTH, 4):
        read = await host.read(address, 4)
        assert (read.resp == AxiResp.OKAY) == (address in known), hex(address)
        if address in known:
            name = known[address]
            reset = RESETS.get(name, REGISTERS[name].reset)
            assert int.from_bytes(read.data, "little") == reset, name
        if address != at("control"):
            write = await host.write(address, bytes(4))
            assert (write.resp == AxiResp.OKAY) == (address in WRITABLE), hex(address)
    assert RESETS.keys() == {name for name, register in REGISTERS.items()
                             if isinstance(register.reset, str)}
    assert REGISTERS["identity"].reset == IDENTITY == int.from_bytes(b"TRLB", "little")
    assert REGISTERS["version"].reset == VERSION


@cocotb.test()
async def what_is_set_is_kept_and_goes_out(dut):
    """Base, time-out and patience, byte for byte, through an abort; the base is aligned."""
    host = await begin(dut)
    await host.write_dword(at("base"), 0xCAFE_FFFF)
    await host.write_dword(at("base_high"), 0xFFFF_FF9A)
    await host.write_dword(at("timeout"), 0x8765_4321)
    await host.write(at("timeout") + 2, b"\x12")
    await host.write(at("base") + 1, b"\xa5")
    await host.write_dword(at("patience"), 77)
    await host.write_dword(at("scratch"), 0x1234_5678)
    await host.write_dword(at("spacing"), 0x8765_4FFF)
    await host.write_dword(at("control"), ABORT)
    assert int(dut.o_spacing.value) == await host.read_dword(at("spacing")) == 0x8765_4000
    assert await host.read_dword(at("base")) == 0xCAFE_A000
    assert await host.read_dword(at("base_high")) == 0x9A
    assert await host.read_dword(at("scratch")) == 0x1234_5678
    assert int(dut.o_base.value) == 0x9A_CAFE_A000
    assert int(dut.o_timeout.value) == await host.read_dword(at("timeout")) == 0x8712_4321
    assert int(dut.o_patience.value) == await host.read_dword(at("patience")) == 77


@cocotb.test()
async def what_a_run_uses_cannot_be_set_during_one(dut):
    host = await begin(dut)
    await host.write_dword(at("base"), 0x5000)
    for name in ("i_busy", "i_aborting"):
        getattr(dut, name).value = 1
        for register in ("base", "base_high", "spacing", "timeout", "patience"):
            before = await host.read_dword(at(register))
            write = await host.write(at(register), b"\xff" * 4)
            assert write.resp == AxiResp.SLVERR, register
            assert await host.read_dword(at(register)) == before
        assert (await host.write(at("scratch"), bytes(4))).resp == AxiResp.OKAY
        getattr(dut, name).value = 0


async def pulse(dut, name, value=1):
    getattr(dut, name).value = value
    await RisingEdge(dut.clk)
    getattr(dut, name).value = 0
    for _ in range(3):
        await RisingEdge(dut.clk)


@cocotb.test()
async def a_token_is_told_once_it_is_written(dut):
    host = await begin(dut)
    for number, token in enumerate((5, 0xFF_FFFF, 0), 1):
        dut.i_token.value = token
        assert await host.read_dword(at("token")) >> 24 == number - 1
        await pulse(dut, "i_written")
        assert await host.read_dword(at("token")) == number << 24 | token
    for _ in range(256):
        await pulse(dut, "i_written")
    assert await host.read_dword(at("token")) >> 24 == 3
    dut.o_run__ready.value = 1   # the next run begins at none
    await host.write_dword(at("control"), START)
    assert await host.read_dword(at("token")) >> 24 == 0


@cocotb.test()
async def interrupts_are_what_is_enabled_until_it_is_cleared(dut):
    host = await begin(dut)
    for bit, event in ((Interrupt.TOKEN, "i_written"), (Interrupt.ENDED, "i_busy")):
        for enabled in (0, Interrupt.TOKEN, Interrupt.ENDED):
            await host.write_dword(at("interrupt_enable"), enabled)
            assert not dut.interrupt.value
            await pulse(dut, event)
            assert await host.read_dword(at("interrupt_status")) == bit
            assert dut.interrupt.value == bool(enabled & bit)
            await host.write_dword(at("interrupt_status"), 3 & ~bit)
            assert await host.read_dword(at("interrupt_status")) == bit
            await host.write_dword(at("interrupt_status"), bit)
            assert await host.read_dword(at("interrupt_status")) == 0
            await RisingEdge(dut.clk)
            assert not dut.interrupt.value
    # A core that an abort resets has not ended its run.
    dut.i_busy.value, dut.i_aborting.value = 1, 1
    await RisingEdge(dut.clk)
    dut.i_busy.value = 0
    await RisingEdge(dut.clk)
    dut.i_aborting.value = 0
    assert await host.read_dword(at("interrupt_status")) == 0
