"""Cocotb test: the unpacker reports each byte value in the cycle after its word, and only then."""

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from trilobite.hw.matmul.weight_codes import decode, encode


def valid_bytes(group_size):
    """Which bytes an encoder writes: bool [256]."""
    # Three bytes, of which the middle one gives the others' groups but a trit each.
    every = np.arange(256, dtype=np.uint8)
    image = np.stack([every, np.zeros_like(every), np.zeros_like(every)], axis=1)
    cells = decode(image, group_size)
    highest = 3 ** {3: 3, 5: 5}.get(group_size, 1) // 2
    in_range = (np.abs(cells) <= highest).all(axis=1)
    return in_range & (encode(cells, group_size, 3)[:, 0] == every)


@cocotb.test()
async def invalid_bytes(dut):
    valid = valid_bytes(int(os.environ["GROUP_SIZE"]))
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
                expected = offered and not valid[value]
