"""Tests of a board that need no model: registers, memory, and the way to both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from ..fpga.registers import BASE_ALIGNMENT, REGISTERS
from .transport import Transport

__all__ = ["Check", "check_memory", "check_registers"]

_BLOCK = 1 << 12


@dataclass(frozen=True)
class Check:
    """One thing that was tested: whether it is right, and what was seen."""

    name: str
    passed: bool
    seen: str


def check_registers(board: Transport) -> Iterator[Check]:
    """Every bit of a register both ways, and that the base is aligned; ``base`` ends as 0."""
    scratch, base = REGISTERS["scratch"].address, REGISTERS["base"].address
    values = [1 << bit for bit in range(32)]
    wrong = []
    for value in [*values, *(0xFFFF_FFFF ^ value for value in values), 0]:
        board.write_register(scratch, value)
        read = board.read_register(scratch)
        if read != value:
            wrong.append(f"wrote 0x{value:08x}, read 0x{read:08x}")
    yield Check("registers: every bit", not wrong, wrong[0] if wrong else "65 values")
    board.write_register(base, 0xFFFF_FFFF)
    kept = board.read_register(base)
    board.write_register(base, 0)
    yield Check("registers: the base is aligned", kept == 0x1_0000_0000 - BASE_ALIGNMENT,
                f"0x{kept:08x}")


def check_memory(board: Transport, nbytes: int, seed: int = 0) -> Iterator[Check]:
    """Write and read ``nbytes`` of memory, spread over all of it: places, opposites, noise.

    Each block is written with all others before any is read, so that one which answers for another
    is found. What memory held is lost.
    """
    blocks = max(1, min(nbytes, board.memory_bytes) // _BLOCK)
    step = board.memory_bytes // blocks // 4 * 4
    places = [number * step for number in range(blocks)]
    count = min(_BLOCK, board.memory_bytes)
    noise = random.Random(seed)
    passes = {
        "its own address": lambda place: _addresses(place, count, 0),
        "the opposite": lambda place: _addresses(place, count, 0xFFFF_FFFF),
        "noise": lambda place: noise.randbytes(count),
    }
    for name, pattern in passes.items():
        written = {place: pattern(place) for place in places}
        for place, content in written.items():
            board.write_memory(place, content)
        wrong = next((_difference(place, content, board.read_memory(place, count))
                      for place, content in written.items()
                      if board.read_memory(place, count) != content), None)
        yield Check(f"memory: {name}", wrong is None,
                    wrong or f"{blocks * count:,} bytes of {board.memory_bytes:,}")


def _addresses(place: int, count: int, mask: int) -> bytes:
    return b"".join((byte & 0xFFFF_FFFF ^ mask).to_bytes(4, "little")
                    for byte in range(place, place + count, 4))


def _difference(place: int, written: bytes, read: bytes) -> str:
    offset = next((number for number, (one, other) in enumerate(zip(written, read, strict=False))
                   if one != other), 0)
    offset -= offset % 4
    return (f"at 0x{place + offset:x}: wrote {written[offset:offset + 4].hex()}, read "
            f"{read[offset:offset + 4].hex()}")
