"""A board whose Linux runs beside the fabric: registers by UIO, memory by u-dma-buf."""

from __future__ import annotations

import mmap
import os
import select
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
from typing_extensions import override

from ..errors import HostError
from ..fpga.registers import ADDRESS_WIDTH
from .transport import Transport, check_place

__all__ = ["UioBoard"]

_ENABLE = b"\x01\x00\x00\x00"


class UioBoard(Transport):
    """A ``Transport`` to ``/dev/uioN`` and ``/dev/udmabufN``.

    The device tree must give the accelerator's registers as the first map of the UIO device, its
    interrupt, and a buffer of u-dma-buf (https://github.com/ikwzm/udmabuf) that the memory port
    reaches. The buffer is mapped uncached (``O_SYNC``), since the port is not coherent.

    Parameters
    ----------
    number
        N.
    devices, classes
        Where the devices are, and what the system says of them.
    """

    def __init__(self, number: int, devices: Path = Path("/dev"),
                 classes: Path = Path("/sys/class")) -> None:
        self.name = f"uio:{number}"
        self._device, self._buffer = devices / f"uio{number}", devices / f"udmabuf{number}"
        self._said = classes / "u-dma-buf" / f"udmabuf{number}"
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.memory_base = int((self._said / "phys_addr").read_text(), 0)
            self.memory_bytes = int((self._said / "size").read_text(), 0)
            self._interrupts, registers = self._map(self._device, 1 << ADDRESS_WIDTH, 0)
            _, memory = self._map(self._buffer, self.memory_bytes, os.O_SYNC)
        except (OSError, ValueError) as error:
            self._open.close()
            raise HostError(
                f"{self.name}: {error}; it needs the UIO device {self._device} and the buffer "
                f"{self._buffer} of u-dma-buf, both of the board's device tree, and the right to "
                "open them") from None
        self._registers = np.frombuffer(registers, np.uint32)
        self._memory = np.frombuffer(memory, np.uint8)
        return self

    def _map(self, path: Path, size: int, flags: int) -> tuple[int, mmap.mmap]:
        """A descriptor of a device, and its memory."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags)
        self._open.callback(os.close, descriptor)
        return descriptor, mmap.mmap(descriptor, size)

    def __exit__(self, *reason: object) -> None:
        self._open.close()   # what is mapped goes with its last array

    @override
    def read_register(self, address: int) -> int:
        """It is one access of 32 bits."""
        return int(self._registers[address // 4])

    @override
    def write_register(self, address: int, value: int) -> None:
        """It is one access of 32 bits."""
        self._registers[address // 4] = value

    @override
    def read_memory(self, offset: int, count: int) -> bytes:
        check_place(self, offset, count)
        return self._memory[offset:offset + count].tobytes()

    @override
    def write_memory(self, offset: int, content: bytes | memoryview) -> None:
        check_place(self, offset, len(content))
        self._memory[offset:offset + len(content)] = np.frombuffer(content, np.uint8)

    @override
    def wait(self, seconds: float) -> bool:
        """A read of the UIO device ends with an interrupt."""
        os.write(self._interrupts, _ENABLE)
        ready, _, _ = select.select([self._interrupts], [], [], seconds)
        return bool(ready) and len(os.read(self._interrupts, 4)) > 0
