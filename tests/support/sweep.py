"""Millions of operands through a pipeline that never stops, without waking Python for each.

A counter in gates makes the operands and the results are summed up in checksums, one per output
and block of ``BLOCK`` counts; numpy computes the same sums from what is expected. What makes an
operand of a count is written once, for Amaranth values and for numpy arrays. If a checksum
differs, the block is simulated again, count by count, and compared result by result.
"""

import json
import os
from pathlib import Path

import cocotb
import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from support.float_units import sample_pipeline
from trilobite.hw.matmul.reference import pack_beats
from trilobite.sim.verify.bench import build, run_tests
from trilobite.sim.verify.bench.simulators import Verilator

BLOCK = 4096


class Arrays:
    """Arithmetic on uint64 arrays."""

    @staticmethod
    def keep(value):
        """The low 32 bits of a value; in gates it is computed once, however often it is used."""
        return np.asarray(value, np.uint64) & np.uint64(0xFFFFFFFF)

    @staticmethod
    def field(value, start, width):
        """``width`` bits of ``value`` from bit ``start``."""
        return (value >> start) & ((1 << width) - 1)

    @staticmethod
    def select(condition, then, otherwise):
        """``then if condition else otherwise``."""
        return np.where(condition, then, otherwise)


class Gates:
    """The same arithmetic in a module."""

    def __init__(self, module):
        self._module = module

    def keep(self, value):
        kept = Signal(32, name="kept")
        self._module.d.comb += kept.eq(value)
        return kept

    @staticmethod
    def field(value, start, width):
        return value[start:start + width]

    select = staticmethod(Mux)


def mix(on, value):
    """A hash of 32 bits (C. Wellons' ``lowbias32``); ``on`` is ``Arrays`` or ``Gates``."""
    value = on.keep(value)
    value = on.keep((value ^ (value >> 16)) * 0x7FEB352D)
    value = on.keep((value ^ (value >> 15)) * 0x846CA68B)
    return on.keep(value ^ (value >> 16))


class Sweep(wiring.Component):
    """Operands of the counts 0, 1, 2, ... through ``unit``; ``o_x`` is the checksum of x's last
    complete block.

    ``stimulus(on, count)`` gives the operands by input port of ``unit``, ``latencies`` says of each
    output port how many cycles it is behind; ports are at most 32 bits wide.
    """

    def __init__(self, unit, stimulus, latencies):
        self.unit = unit
        self.stimulus = stimulus
        self.latencies = latencies
        super().__init__({"i_first": In(32), **{name: Out(32) for name in latencies}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        count = Signal(32)
        m.d.sync += count.eq(count + 1)
        gates = Gates(m)
        for name, value in self.stimulus(gates, gates.keep(count + self.i_first)).items():
            m.d.comb += Value.cast(getattr(unit, name)).eq(value)
        for name, latency in self.latencies.items():
            behind = Signal(32, name=f"count_{name}")
            total = Signal(32, name=f"total_{name}")
            m.d.comb += behind.eq(count - latency)
            result = Value.cast(getattr(unit, name)).as_unsigned()
            hashed = mix(gates, result ^ mix(gates, behind))
            summed = gates.keep(Mux(behind[:12] == 0, 0, total) + hashed)
            m.d.sync += total.eq(summed)
            with m.If(behind[:12] == BLOCK - 1):
                m.d.sync += getattr(self, name).eq(summed)
        return m


@cocotb.test()
async def sweep(dut):
    settings = json.loads(os.environ["SWEEP"])
    dut.i_first.value = settings["first"]
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    edge = RisingEdge(dut.clk)
    await edge
    await edge
    dut.rst.value = 0
    for _ in range(settings["latency"] + 2):
        await edge
    rows = []
    for _ in range(settings["blocks"]):
        await Timer(10 * BLOCK, unit="ns")
        rows.append([int(getattr(dut, name).value) for name in settings["outputs"]])
    Path(settings["file"]).write_text(json.dumps(rows))


def check_sweep(component, name, expected, blocks, folder, first=0):
    """Run ``blocks`` blocks of counts from ``first`` through ``Sweep`` ``component``.

    ``expected(operands)`` gives uint64 results by output port, from operands by input port.
    """
    outputs = list(component.latencies)
    stimulus, latencies, unit = component.stimulus, component.latencies, component.unit
    file = folder / "checksums.json"
    settings = {"first": first, "blocks": blocks, "outputs": outputs, "file": str(file),
                "latency": max(latencies.values())}
    run_tests(build(component, name, Verilator()), __name__, ["sweep"],
              environment={"SWEEP": json.dumps(settings)})
    got = np.array(json.loads(file.read_text()))
    for block in range(blocks):
        behind = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.uint64)
        operands = stimulus(Arrays, Arrays.keep(behind + np.uint64(first)))
        results = expected(operands)
        for column, port in enumerate(outputs):
            checksum = Arrays.keep(mix(Arrays, results[port] ^ mix(Arrays, behind)).sum())
            if checksum != got[block, column]:
                _show_difference(unit, name, port, latencies[port], operands, results[port])
    assert len(got) == blocks


def _show_difference(unit, name, port, latency, operands, expected):
    """Fail with the operands and results of one block that differ."""
    beats = {key: pack_beats(value[:, None].astype(np.int64),
                             len(Value.cast(getattr(unit, key))))
             for key, value in operands.items()}
    got = sample_pipeline(build(unit, f"{name}_unit"), beats, {port: latency})[port]
    wrong = np.flatnonzero(got != expected.astype(np.int64))
    lines = [f"{port}: " + ", ".join(f"{key} {int(value[row]):#x}"
                                     for key, value in operands.items())
             + f" gave {int(got[row]):#x}, not {int(expected[row]):#x}" for row in wrong[:5]]
    raise AssertionError("\n".join([f"{len(wrong)} of {BLOCK} results differ", *lines]))
