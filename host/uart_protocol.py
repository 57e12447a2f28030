"""The frames in which registers and memory are accessed over a serial line.

The host asks and the board answers: one request at a time. All numbers are little-endian, a word
has 32 bits, an address is of bytes, and of registers and memory it is a multiple of 4.

A request: ``b"T"``, operation, sequence number, words (u8, 1 to 64), address (u32), and CRC-16 of
these 8 bytes (u16). A write's words follow, and a CRC-16 of them alone. An answer: ``b"R"``,
sequence number, status, words (u8), and CRC-16 of these 4 bytes; then the words of a read whose
status is OK, and a CRC-16 of them alone. Between answers the board sends ``b"!"`` when the
accelerator begins to interrupt.

The board takes no notice of bytes until one is ``b"T"``, nor of a request whose first CRC is wrong:
nobody knows what it was. A request that stops in the middle for 50 ms is given up. Words of a
memory write go to memory as they come; a wrong CRC behind them answers ``DAMAGED``, and the host
writes the same again. A register is written after its CRC was right, and one word at a time. Since
a host that gets no answer asks again, and a start must not happen twice, the board does not write a
register again for a request with the sequence number of the request before, if that wrote one, but
answers as it did. The CRC is CRC-16/IBM-3740: polynomial 0x1021, initial value 0xFFFF, not
reflected, not inverted.
"""

from __future__ import annotations

import binascii
import enum
import struct
from dataclasses import dataclass

__all__ = ["ANSWER", "ANSWER_BYTES", "INTERRUPT", "MOST_WORDS", "REQUEST", "REQUEST_BYTES",
           "Answer", "Operation", "Request", "Status", "crc16"]

REQUEST, ANSWER, INTERRUPT = b"T", b"R", b"!"
REQUEST_BYTES, ANSWER_BYTES = 10, 6   # of their first parts, CRC and all
MOST_WORDS = 64


class Operation(enum.IntEnum):
    """What is asked for."""

    READ_REGISTER = 1
    WRITE_REGISTER = 2
    READ_MEMORY = 3
    WRITE_MEMORY = 4


class Status(enum.IntEnum):
    """How it went."""

    OK = 0
    DAMAGED = 1     # the CRC of written words is wrong
    REFUSED = 2     # the register, or memory, answered by an error
    UNKNOWN = 3     # no such operation, or a count or an address that it does not take


def crc16(content: bytes, crc: int = 0xFFFF) -> int:
    """CRC-16/IBM-3740 of ``content``, that comes behind what ``crc`` is of."""
    return binascii.crc_hqx(content, crc)


def _checked(content: bytes) -> bytes:
    return content + struct.pack("<H", crc16(content))


@dataclass(frozen=True)
class Request:
    """A request; ``words`` of a write are in ``content``."""

    operation: Operation
    sequence: int
    address: int
    words: int
    content: bytes = b""

    def encode(self) -> bytes:
        """The frame."""
        head = _checked(struct.pack("<cBBBI", REQUEST, self.operation, self.sequence, self.words,
                                    self.address))
        return head + _checked(self.content) if self.content else head


@dataclass(frozen=True)
class Answer:
    """The first part of an answer."""

    sequence: int
    status: int
    words: int

    def encode(self, content: bytes = b"") -> bytes:
        """The frame, with ``content`` behind it: the words of a read."""
        head = _checked(struct.pack("<cBBB", ANSWER, self.sequence, self.status, self.words))
        return head + _checked(content) if content else head

    @classmethod
    def decode(cls, head: bytes) -> Answer | None:
        """The first ``ANSWER_BYTES`` of a frame; None if they are damaged."""
        if head[:1] != ANSWER or head != _checked(head[:-2]):
            return None
        return cls(*struct.unpack("<BBB", head[1:4]))
