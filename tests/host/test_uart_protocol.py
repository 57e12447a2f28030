"""Frames of the serial line, worked out by hand, and what damages them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilobite.host.uart_protocol import (
    ANSWER_BYTES,
    REQUEST_BYTES,
    Answer,
    Operation,
    Request,
    crc16,
)


def test_the_crc_is_the_published_one():
    """CRC-16/IBM-3740 of the usual nine characters, and in two parts."""
    assert crc16(b"123456789") == 0x29B1
    assert crc16(b"6789", crc16(b"12345")) == 0x29B1


def test_a_read_of_a_register_is_ten_bytes():
    frame = Request(Operation.READ_REGISTER, 7, 0x104, 1).encode()
    assert frame[:8] == b"T\x01\x07\x01\x04\x01\x00\x00"
    assert frame[8:] == crc16(frame[:8]).to_bytes(2, "little")
    assert len(frame) == REQUEST_BYTES


def test_written_words_have_a_crc_of_their_own():
    words = bytes(range(8))
    frame = Request(Operation.WRITE_MEMORY, 1, 0x1000, 2, words).encode()
    assert frame[REQUEST_BYTES:] == words + crc16(words).to_bytes(2, "little")


@given(st.integers(0, 255), st.integers(0, 3), st.integers(0, 64))
def test_an_answer_is_what_was_encoded(sequence, status, words):
    answer = Answer(sequence, status, words)
    assert Answer.decode(answer.encode()[:ANSWER_BYTES]) == answer


@pytest.mark.parametrize("bit", range(8 * ANSWER_BYTES))
def test_an_answer_with_a_wrong_bit_is_none(bit):
    head = bytearray(Answer(3, 0, 5).encode())
    head[bit // 8] ^= 1 << bit % 8
    assert Answer.decode(bytes(head)) is None
