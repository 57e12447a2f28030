"""Memory as the host program sees it, where several ports have a part of every word each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .transport import Transport, check_place

__all__ = ["StripedMemory", "WholeMemory", "memory_of"]

_PAGE = 4096   # of which a region's distance is a multiple


class WholeMemory:
    """A transport's memory, all of it and as it is."""

    spacing = 0

    def __init__(self, board: Transport) -> None:
        self._board, self.name, self.memory_bytes = board, board.name, board.memory_bytes

    def read_memory(self, offset: int, count: int) -> bytes:
        """See ``Transport``."""
        return self._board.read_memory(offset, count)

    def write_memory(self, offset: int, content: bytes | memoryview) -> None:
        """See ``Transport``."""
        self._board.write_memory(offset, content)


class StripedMemory(WholeMemory):
    """Part i of every word lies in region i: the first one begins where memory does.

    Parameters
    ----------
    board
        The way to memory.
    ports
        Parts of a word.
    word_bytes
        Bytes of a word.

    Attributes
    ----------
    spacing
        Bytes from a region's begin to the next one's: a register of the accelerator.
    memory_bytes
        Of all regions together.
    """

    def __init__(self, board: Transport, ports: int, word_bytes: int) -> None:
        super().__init__(board)
        self._ports, self._part = ports, word_bytes // ports
        self._word = word_bytes
        self.spacing = board.memory_bytes // ports // _PAGE * _PAGE
        self.memory_bytes = ports * self.spacing

    def read_memory(self, offset: int, count: int) -> bytes:
        """See ``Transport``."""
        check_place(self, offset, count)
        first, words = self._words(offset, count)
        parts = [np.frombuffer(self._board.read_memory(place, words * self._part), np.uint8)
                 for place in self._places(first)]
        whole = np.stack([part.reshape(words, self._part) for part in parts], axis=1)
        begin = offset - first * self._word
        return whole.tobytes()[begin:begin + count]

    def write_memory(self, offset: int, content: bytes | memoryview) -> None:
        """See ``Transport``. What lies beside the content in its first and last word stays."""
        check_place(self, offset, len(content))
        first, words = self._words(offset, len(content))
        begin, end = first * self._word, (first + words) * self._word
        before = self.read_memory(begin, offset - begin)
        after = self.read_memory(offset + len(content), end - offset - len(content))
        whole = np.frombuffer(b"".join((before, content, after)), np.uint8)
        parts = whole.reshape(words, self._ports, self._part)
        for number, place in enumerate(self._places(first)):
            self._board.write_memory(place, parts[:, number].tobytes())

    def _words(self, offset: int, count: int) -> tuple[int, int]:
        """The first word in which these bytes lie, and how many words they do."""
        first = offset // self._word
        return first, -(-(offset + count) // self._word) - first

    def _places(self, word: int) -> Iterator[int]:
        """Where each part of a word lies."""
        return (number * self.spacing + word * self._part for number in range(self._ports))


def memory_of(board: Transport, ports: int, word_bytes: int) -> WholeMemory:
    """The memory of an accelerator with so many ports."""
    return StripedMemory(board, ports, word_bytes) if ports > 1 else WholeMemory(board)
