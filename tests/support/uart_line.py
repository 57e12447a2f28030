"""A serial line with a board behind it that speaks ``host.uart_protocol``."""

import struct
from collections import deque

from trilobite.errors import HostError
from trilobite.host.uart_protocol import (
    INTERRUPT,
    MOST_WORDS,
    REQUEST,
    REQUEST_BYTES,
    Answer,
    Operation,
    Status,
    crc16,
)

_WRITES = (Operation.WRITE_REGISTER, Operation.WRITE_MEMORY)
_REGISTERS = (Operation.READ_REGISTER, Operation.WRITE_REGISTER)


class UartLine:
    """What a ``UartBoard`` opens; ``board`` is a transport that does what is asked.

    ``damage`` is asked of each byte in either direction: it returns the byte, another one or None,
    for one that is lost.
    """

    def __init__(self, board, damage=lambda byte: byte):
        self.board, self.damage = board, damage
        self.timeout = None
        self.written = 0            # requests that wrote a register
        self._in, self._out = bytearray(), deque()
        self._last = None           # sequence number of the last request, if it wrote a register
        self.closed = False

    def _pass(self, content):
        return bytes(passed for byte in content if (passed := self.damage(byte)) is not None)

    def write(self, data):
        self._in += self._pass(data)
        while self._serve():
            pass
        return len(data)

    def read(self, size):
        return bytes(self._out.popleft() for _ in range(min(size, len(self._out))))

    def close(self):
        self.closed = True

    def interrupt(self):
        self._send(INTERRUPT)

    def _send(self, content):
        self._out += self._pass(content)

    def _serve(self):
        """Take one request, or one byte that begins none; whether there may be more."""
        if not self._in:
            return False
        if self._in[:1] != REQUEST:
            del self._in[:1]
            return True
        head = bytes(self._in[:REQUEST_BYTES])
        if len(head) < REQUEST_BYTES:
            return False
        if crc16(head[:-2]) != int.from_bytes(head[-2:], "little"):
            del self._in[:1]
            return True
        operation, sequence, words, address = struct.unpack("<BBBI", head[1:8])
        extra = 4 * words + 2 if operation in _WRITES else 0
        if len(self._in) < REQUEST_BYTES + extra:
            self._in.clear()   # a byte was lost: the board gives up, and the host asks again
            return False
        content = bytes(self._in[REQUEST_BYTES:REQUEST_BYTES + extra])
        del self._in[:REQUEST_BYTES + extra]
        self._answer(operation, sequence, words, address, content)
        return True

    def _answer(self, operation, sequence, words, address, content):
        status, answer = Status.OK, b""
        again = self._last == sequence
        if operation != Operation.WRITE_REGISTER:
            self._last = None
        if operation not in set(Operation) or not 1 <= words <= MOST_WORDS or address % 4 or (
                operation in _REGISTERS and words != 1):
            status = Status.UNKNOWN
        elif content and crc16(content[:-2]) != int.from_bytes(content[-2:], "little"):
            status = Status.DAMAGED
        elif not (again and operation == Operation.WRITE_REGISTER):
            status, answer = self._do(operation, sequence, words, address, content[:-2])
        self._send(Answer(sequence, status, words).encode(answer))

    def _do(self, operation, sequence, words, address, content):
        board = self.board
        try:
            if operation == Operation.READ_REGISTER:
                return Status.OK, board.read_register(address).to_bytes(4, "little")
            if operation == Operation.READ_MEMORY:
                return Status.OK, board.read_memory(address, 4 * words)
            if operation == Operation.WRITE_MEMORY:
                board.write_memory(address, content)
            else:
                board.write_register(address, int.from_bytes(content, "little"))
                self._last, self.written = sequence, self.written + 1
        except (HostError, ValueError):
            return Status.REFUSED, b""
        return Status.OK, b""
