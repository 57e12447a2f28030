"""A board at a serial line."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol, Self

from typing_extensions import override

from ..errors import HostError
from .transport import Transport, check_place
from .uart_protocol import (
    ANSWER,
    ANSWER_BYTES,
    INTERRUPT,
    MOST_WORDS,
    Answer,
    Operation,
    Request,
    Status,
    crc16,
)

__all__ = ["BAUD", "SerialLine", "UartBoard", "open_serial"]

BAUD = 3_000_000
_TRIES = 8          # of a request that is not answered, or whose words were damaged
_ANSWER_SECONDS = 0.5


class SerialLine(Protocol):
    """What is used of ``serial.Serial``; reads take ``timeout`` seconds at most."""

    timeout: float | None

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""

    def write(self, data: bytes, /) -> int | None:
        """Send bytes."""

    def close(self) -> None:
        """Give the line back."""


def open_serial(device: str, baud: int = BAUD) -> SerialLine:
    """Open a serial line with pyserial.

    Raises
    ------
    HostError
        pyserial is not installed, or there is no such line.
    """
    try:
        import serial  # noqa: PLC0415 - not every host has it
    except ImportError:
        raise HostError("A board at a serial line needs the package 'pyserial': "
                        "pip install 'trilobite[uart]'") from None
    try:
        line: Any = serial.Serial(device, baud, timeout=_ANSWER_SECONDS, exclusive=True)
    except (serial.SerialException, ValueError, OSError) as error:
        raise HostError(f"{device} cannot be opened as a serial line: {error}") from None
    return line


class UartBoard(Transport):
    """A ``Transport`` by the frames of ``uart_protocol``.

    Parameters
    ----------
    name
        What messages call it.
    open_line
        Opens the line.
    memory_bytes
        Bytes of the board's memory, which begins at address 0.
    """

    memory_base = 0

    def __init__(self, name: str, open_line: Callable[[], SerialLine], memory_bytes: int) -> None:
        self.name, self.memory_bytes = name, memory_bytes
        self._open_line, self._open = open_line, ExitStack()
        self._sequence = 0
        self._interrupted = False

    def __enter__(self) -> Self:
        self._line = self._open_line()
        self._open.callback(self._line.close)
        # Whatever number the board remembers of a host before this one, the next is another.
        self._sequence = time.monotonic_ns() & 0xFF
        return self

    def __exit__(self, *reason: object) -> None:
        self._open.close()

    @override
    def read_register(self, address: int) -> int:
        return struct.unpack("<I", self._ask(Operation.READ_REGISTER, address, 1))[0]

    @override
    def write_register(self, address: int, value: int) -> None:
        self._ask(Operation.WRITE_REGISTER, address, 1, struct.pack("<I", value))

    @override
    def read_memory(self, offset: int, count: int) -> bytes:
        check_place(self, offset, count)
        first, end = offset - offset % 4, -(-(offset + count) // 4) * 4
        content = b"".join(self._read_words(place, min(4 * MOST_WORDS, end - place))
                           for place in range(first, end, 4 * MOST_WORDS))
        return content[offset - first:offset - first + count]

    @override
    def write_memory(self, offset: int, content: bytes | memoryview) -> None:
        """Words that are written in part are read first."""
        check_place(self, offset, len(content))
        if not len(content):
            return
        first, end = offset - offset % 4, offset + len(content)
        before = self.read_memory(first, offset - first)
        after = self.read_memory(end, -end % 4)
        whole = before + bytes(content) + after
        for place in range(0, len(whole), 4 * MOST_WORDS):
            piece = whole[place:place + 4 * MOST_WORDS]
            self._ask(Operation.WRITE_MEMORY, first + place, len(piece) // 4, piece)

    @override
    def wait(self, seconds: float) -> bool:
        limit = time.monotonic() + seconds
        while not self._interrupted and (left := limit - time.monotonic()) > 0:
            self._line.timeout = left
            self._interrupted = self._line.read(1) == INTERRUPT
        interrupted, self._interrupted = self._interrupted, False
        return interrupted

    def _read_words(self, place: int, count: int) -> bytes:
        return self._ask(Operation.READ_MEMORY, place, count // 4)

    def _ask(self, operation: Operation, address: int, words: int, content: bytes = b"") -> bytes:
        """Send a request until it is answered; the words of a read."""
        self._sequence = (self._sequence + 1) & 0xFF
        frame = Request(operation, self._sequence, address, words, content).encode()
        reads = operation in (Operation.READ_REGISTER, Operation.READ_MEMORY)
        for _ in range(_TRIES):
            self._line.write(frame)
            answer = self._answer()
            if answer is None or answer.status == Status.DAMAGED:
                continue
            if answer.status != Status.OK:
                known = answer.status in set(Status)
                said = Status(answer.status).name if known else f"status {answer.status}"
                raise HostError(f"{self.name}: {operation.name} of {words} words at 0x{address:x} "
                                f"was answered by {said}")
            if not reads:
                return b""
            taken = self._read(4 * words + 2)
            if len(taken) == 4 * words + 2 and crc16(taken[:-2]) == int.from_bytes(
                    taken[-2:], "little"):
                return taken[:-2]
        raise HostError(f"{self.name} does not answer {operation.name} at 0x{address:x}; is it "
                        "switched on, and its bitstream loaded?")

    def _answer(self) -> Answer | None:
        """The answer to the last request; None if none comes in time."""
        limit = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < limit:
            byte = self._read(1)
            if byte == INTERRUPT:
                self._interrupted = True
            elif byte == ANSWER:
                answer = Answer.decode(byte + self._read(ANSWER_BYTES - 1))
                if answer is not None and answer.sequence == self._sequence:
                    return answer
        return None

    def _read(self, count: int) -> bytes:
        self._line.timeout = _ANSWER_SECONDS
        return self._line.read(count)
