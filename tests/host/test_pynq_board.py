"""A board under PYNQ, with objects in the place of its package."""

from types import SimpleNamespace

import numpy as np
import pytest

from trilobite.errors import HostError
from trilobite.fpga.registers import REGISTERS
from trilobite.host.pynq_board import PynqBoard


class Mmio:
    def __init__(self):
        self.words = {}

    def read(self, address):
        return self.words.get(address, 0)

    def write(self, address, value):
        self.words[address] = value


class Buffer(np.ndarray):
    """A buffer of ``pynq.allocate``, and the order of what happened to it."""

    physical_address = 0x1_0000

    def flush(self):
        self.happened.append("flush")

    def invalidate(self):
        self.happened.append("invalidate")

    def freebuffer(self):
        self.happened.append("free")


@pytest.fixture
def package():
    happened = []

    def allocate(shape, dtype):
        buffer = np.zeros(shape, dtype).view(Buffer)
        buffer.happened = happened
        return buffer

    overlay = SimpleNamespace(accelerator=SimpleNamespace(mmio=Mmio()))
    return SimpleNamespace(Overlay=lambda file: overlay, allocate=allocate, happened=happened,
                           overlay=overlay)


def test_registers_and_memory_are_those_of_the_overlay(package):
    with PynqBoard("x.bit", 4096, package) as board:
        assert (board.name, board.memory_base) == ("pynq:x.bit", 0x1_0000)
        board.write_register(8, 5)
        assert board.read_register(8) == 5
        board.write_memory(10, b"abc")
        assert board.read_memory(9, 5) == b"\0abc\0"
        with pytest.raises(ValueError, match="outside of the 4096 bytes"):
            board.read_memory(4095, 2)
    assert package.happened == ["flush", "invalidate", "free"]   # the port is not coherent


def test_an_interrupt_is_looked_for(package):
    with PynqBoard("x.bit", 4096, package) as board:
        assert not board.wait(0.01)
        board.write_register(REGISTERS["interrupt_status"].address, 2)
        assert board.wait(5)


def test_what_is_missing_is_said(package):
    del package.overlay.accelerator
    with pytest.raises(HostError, match="no block called 'accelerator'"), PynqBoard(
            "x.bit", 4096, package):
        pass
    with pytest.raises(HostError, match="needs the package 'pynq'"), PynqBoard("x.bit", 4096):
        pass
