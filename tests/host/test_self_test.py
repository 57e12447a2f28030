"""Faults of registers and memory, of which each is found by the check that is made for it."""

import pytest

from support.fake_board import FakeBoard
from trilobite.fpga.registers import BASE_ALIGNMENT, REGISTERS
from trilobite.host.self_test import check_memory, check_registers

SCRATCH, BASE = (REGISTERS[name].address // 4 for name in ("scratch", "base"))


class Board(FakeBoard):
    """A sound board, with a fault in memory or in a register."""

    def __init__(self, place=lambda offset: offset, byte=lambda offset, byte: byte,
                 register=lambda value: value):
        super().__init__()
        self.memory_bytes = 1 << 16
        self.memory = bytearray(self.memory_bytes)
        self.registers = [0] * 1024
        self.place, self.byte, self.register = place, byte, register

    def read_register(self, address):
        value = super().read_register(address)
        if address // 4 == BASE:
            return value & ~(BASE_ALIGNMENT - 1)
        return self.register(value)

    def write_memory(self, offset, content):
        for number, byte in enumerate(content, offset):
            self.memory[self.place(number)] = byte

    def read_memory(self, offset, count):
        return bytes(self.byte(number, self.memory[self.place(number)])
                     for number in range(offset, offset + count))


def failed(checks):
    return [check.name for check in checks if not check.passed]


def test_a_sound_board_passes():
    board = Board()
    assert failed(check_registers(board)) == []
    assert failed(check_memory(board, 1 << 16)) == []
    assert board.registers[BASE] == 0


@pytest.mark.parametrize("bit", [0, 17, 31])
def test_a_line_of_data_that_sticks_is_found(bit):
    checks = list(check_registers(Board(register=lambda value: value & ~(1 << bit))))
    assert failed(checks) == ["registers: every bit"]
    assert checks[0].seen == f"wrote 0x{1 << bit:08x}, read 0x00000000"


def test_a_line_of_addresses_that_is_missing_is_found():
    checks = list(check_memory(Board(place=lambda offset: offset & ~(1 << 14)), 1 << 16))
    assert "memory: its own address" in failed(checks)
    assert checks[0].seen.startswith("at 0x0: wrote 00000000, read 00400000")


def test_a_bit_of_memory_that_sticks_is_found():
    def stuck(offset, byte):
        return byte | 4 if offset == 0x1235 else byte

    checks = list(check_memory(Board(byte=stuck), 1 << 16))
    assert failed(checks)
    assert any(check.seen.startswith("at 0x1234: wrote") for check in checks)


def test_a_base_that_is_not_aligned_is_found():
    board = Board()
    board.read_register = lambda address: board.registers[address // 4]
    assert failed(check_registers(board)) == ["registers: the base is aligned"]
