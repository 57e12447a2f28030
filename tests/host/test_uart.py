"""A board at a serial line that loses and changes bytes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fake_board import FakeBoard
from support.uart_line import UartLine
from trilobite.errors import HostError
from trilobite.host import uart
from trilobite.host.uart import UartBoard, open_serial


@pytest.fixture
def line(monkeypatch):
    monkeypatch.setattr(uart, "_ANSWER_SECONDS", 0.01)
    return UartLine(FakeBoard())


def opened(line, memory_bytes=4096):
    return UartBoard("uart:x", lambda: line, memory_bytes)


def test_registers_and_memory_are_read_and_written(line):
    with opened(line) as board:
        board.write_register(0x3C, 0x8765_4321)
        assert board.read_register(0x3C) == 0x8765_4321
        content = bytes(range(256)) * 5
        board.write_memory(1000, content)
        assert board.read_memory(1000, len(content)) == content
        assert line.board.memory[1000:1000 + len(content)] == content
    assert line.closed


@given(st.integers(0, 60), st.binary(max_size=70))
def test_bytes_beside_what_is_written_stay(offset, content):
    line = UartLine(FakeBoard())
    line.board.memory[:] = before = bytes(range(256)) * 16
    with opened(line) as board:
        board.write_memory(offset, content)
        assert board.read_memory(offset, len(content)) == content
    after = bytes(line.board.memory)
    assert after == before[:offset] + content + before[offset + len(content):]


def test_a_line_that_damages_bytes_changes_nothing_but_time(line, monkeypatch):
    monkeypatch.setattr(uart, "_TRIES", 50)
    rng = random.Random(1)

    def damage(byte):
        chance = rng.random()
        if chance < 0.002:
            return None
        return byte ^ 1 << rng.randrange(8) if chance < 0.004 else byte

    line.damage = damage
    writes = 0
    with opened(line) as board:
        for number in range(150):
            value = rng.getrandbits(32)
            board.write_register(4 * (number % 16), value)
            writes += 1
            assert board.read_register(4 * (number % 16)) == value
            content = rng.randbytes(60)
            board.write_memory(4 * number, content)
            assert board.read_memory(4 * number, 60) == content
    assert line.written == writes, "a register was written twice, or never"


def test_a_refusal_and_silence_are_said(line):
    with opened(line) as board:
        with pytest.raises(HostError, match="READ_REGISTER of 1 words at 0x40 .* REFUSED"):
            board.read_register(0x40)
        with pytest.raises(ValueError, match="outside of the 4096 bytes of uart:x"):
            board.read_memory(4095, 2)
        line.damage = lambda byte: None
        with pytest.raises(HostError, match="does not answer WRITE_REGISTER at 0x0; is it"):
            board.write_register(0, 1)


def test_an_interrupt_is_heard_between_answers_and_alone(line):
    with opened(line) as board:
        assert not board.wait(0.01)
        line.interrupt()
        assert board.wait(5)
        assert not board.wait(0.01)
        line.interrupt()
        board.write_register(0, 7)
        assert board.wait(0.01)


def test_a_line_that_is_none_is_said(tmp_path):
    with pytest.raises(HostError, match="pyserial|cannot be opened as a serial line"):
        open_serial(str(tmp_path / "none"))
