"""A board under PYNQ, by the package ``pynq`` that its images bring."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from typing_extensions import override

from ..errors import HostError
from ..fpga.registers import REGISTERS
from .transport import Transport, check_place

__all__ = ["PynqBoard"]

_LOOK = 0.001   # seconds between two looks at the status


class PynqBoard(Transport):
    """A ``Transport`` to an overlay of PYNQ, whose bitstream it loads.

    Interrupts are looked for in the register ``interrupt_status``.

    Parameters
    ----------
    bitstream
        The overlay's .bit or .xsa file.
    memory_bytes
        Of the buffer that is allocated.
    package
        The package ``pynq``; imported if None.
    """

    def __init__(self, bitstream: Path, memory_bytes: int, package: Any = None) -> None:
        self.name, self.memory_bytes = f"pynq:{bitstream}", memory_bytes
        self._bitstream, self._package = bitstream, package

    def __enter__(self) -> Self:
        pynq = self._package or _package()
        try:
            overlay = pynq.Overlay(str(self._bitstream))
            self._buffer = pynq.allocate((self.memory_bytes,), dtype=np.uint8)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            raise HostError(f"{self.name}: {error}") from None
        if not hasattr(overlay, "accelerator"):
            raise HostError(f"{self.name} has no block called 'accelerator'")
        self._registers = overlay.accelerator.mmio
        self.memory_base = self._buffer.physical_address
        return self

    def __exit__(self, *reason: object) -> None:
        self._buffer.freebuffer()

    @override
    def read_register(self, address: int) -> int:
        return int(self._registers.read(address))

    @override
    def write_register(self, address: int, value: int) -> None:
        self._registers.write(address, value)

    @override
    def read_memory(self, offset: int, count: int) -> bytes:
        check_place(self, offset, count)
        self._buffer.invalidate()
        return self._buffer[offset:offset + count].tobytes()

    @override
    def write_memory(self, offset: int, content: bytes | memoryview) -> None:
        check_place(self, offset, len(content))
        self._buffer[offset:offset + len(content)] = np.frombuffer(content, np.uint8)
        self._buffer.flush()

    @override
    def wait(self, seconds: float) -> bool:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.read_register(REGISTERS["interrupt_status"].address):
                return True
            time.sleep(_LOOK)
        return False


def _package() -> Any:
    try:
        import pynq  # type: ignore[import-not-found]  # noqa: PLC0415 - boards have it
    except ImportError:
        raise HostError("A board under PYNQ needs the package 'pynq', which its images bring"
                        ) from None
    return pynq
