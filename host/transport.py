"""The way from a host to an accelerator: registers, memory, and an interrupt."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["Transport", "check_place"]


class Transport(AbstractContextManager["Transport"], Protocol):
    """What a ``Driver`` needs of a board. A context manager: it is closed at the end.

    Every method raises ``HostError`` where the board does not answer, or refuses.
    """

    name: str
    """What messages call the board: ``uart:/dev/ttyUSB0``."""

    memory_base: int
    """The address, as the accelerator's memory port has it, of the first byte of memory."""

    memory_bytes: int
    """Bytes of memory from there on that are the accelerator's."""

    def read_register(self, address: int) -> int:
        """The 32 bits at a byte address."""

    def write_register(self, address: int, value: int) -> None:
        """Write 32 bits to a byte address."""

    def read_memory(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset`` bytes behind ``memory_base`` on."""

    def write_memory(self, offset: int, content: bytes | memoryview) -> None:
        """Write bytes from ``offset`` behind ``memory_base`` on, for the accelerator to see."""

    def wait(self, seconds: float) -> bool:
        """Wait for an interrupt, for about so long at most; whether one is raised.

        False where it cannot be told: then the registers say.
        """


class Place(Protocol):
    """What has some bytes of memory."""

    name: str
    memory_bytes: int


def check_place(transport: Place, offset: int, count: int) -> None:
    """Raise ``ValueError`` unless so many bytes lie there in a transport's memory."""
    if offset < 0 or count < 0 or offset + count > transport.memory_bytes:
        raise ValueError(f"{count} bytes at {offset} are outside of the {transport.memory_bytes} "
                         f"bytes of {transport.name}")
