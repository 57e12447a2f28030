"""Targets: what comes from a board, an image as a folder and the answers of a serial line."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

from support.json_mutations import change_prefixed
from trilobite.errors import CheckpointError, HostError
from trilobite.fpga.image_file import read_image, write_image
from trilobite.fpga.registers import configuration_hash
from trilobite.host import uart
from trilobite.host.uart_protocol import INTERRUPT, Answer, Status

__all__ = ["MUTATORS", "SEEDS", "TARGETS"]

_SIZE = 4             # bytes in front of a manifest that say how long it is
_CAPACITY = 24        # tokens
_MEMORY = 1 << 12     # bytes of the board


def image(data: bytes, scratch: Path) -> None:
    """The length of a manifest, the manifest, memory.bin: read, and what was read is used.

    The bytes decide whether hashes and length are made to fit what they are of.
    """
    folder = scratch / "image"
    folder.mkdir(exist_ok=True)
    size = int.from_bytes(data[:_SIZE], "little")
    manifest, memory = data[_SIZE:_SIZE + size], data[_SIZE + size:]
    (folder / "manifest.json").write_bytes(
        _fitting(manifest, memory) if zlib.crc32(data) % 4 else manifest)
    (folder / "memory.bin").write_bytes(memory)
    try:
        found = read_image(folder)
    except CheckpointError as error:
        assert str(error)
        return
    loaded = b"".join(content for _, content in found.pieces(100))
    assert loaded == memory
    for place, content in found.pieces(100):
        assert 0 <= place <= place + len(content) <= found.nbytes
    for position in (0, found.capacity):
        assert 0 <= found.token_place(position, 1) <= found.nbytes - 4
    for name in ("program", "tiles"):
        assert found.region(name)[0] + found.region(name)[1] <= found.nbytes


def _fitting(manifest: bytes, memory: bytes) -> bytes:
    """The manifest with hashes that are right, where it is one."""
    try:
        value = json.loads(manifest)
        value["memory"] |= {"bytes": len(memory), "sha256": hashlib.sha256(memory).hexdigest()}
        value["configuration"] = f"{configuration_hash(value['parameters']):016x}"
        return json.dumps(value).encode()
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return manifest


class _Line:
    """A serial line at which somebody says ``data``, whatever is asked."""

    timeout: float | None = None

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.now = 0.0   # seconds: the time that silence takes passes at once

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        taken, self.data = self.data[:size], self.data[size:]
        self.now += 0.0 if len(taken) == size else self.timeout or 0.0
        return bytes(taken)

    def monotonic(self) -> float:
        """What ``time.monotonic`` is to it."""
        return self.now

    def monotonic_ns(self) -> int:
        """The same, in nanoseconds."""
        return int(self.now * 1e9)

    def write(self, data: bytes, /) -> int:
        """Nobody listens."""
        return len(data)

    def close(self) -> None:
        """Nothing is held."""


def serial(data: bytes, scratch: Path) -> None:
    """The answers at a serial line: registers and memory that are read and written."""
    line = _Line(data)
    with (mock.patch.object(uart, "time", line),
          uart.UartBoard("uart:x", lambda: line, _MEMORY) as board):
        for ask in (lambda: board.read_register(0), lambda: board.write_register(4, 1),
                    lambda: board.read_memory(6, 9), lambda: board.write_memory(3, b"abc"),
                    lambda: board.wait(0.001)):
            try:
                answer: Any = ask()
            except HostError as error:
                assert str(error)
            else:
                assert not isinstance(answer, bytes) or len(answer) == 9


def change_answers(data: bytes, source: random.Random) -> bytes:
    """Sound answers of any number and status, some of them cut or with a byte too many."""
    frames = []
    for sequence in range(1, 1 + source.randrange(9)):
        number = source.choice((sequence, sequence, sequence, source.randrange(256)))
        status = source.choice((*Status, Status.OK, Status.OK, 200))
        content = source.randbytes(4 * source.choice((0, 1, 1, 3, 3, 64)))
        frame = Answer(number, status, len(content) // 4 % 256).encode(content)
        cut = source.choice((0, 0, 0, 1))
        frames += [frame[:len(frame) - cut], source.choice((b"", b"", INTERRUPT, b"R", b"\xff"))]
    return b"".join(frames)


def _image_seeds(scratch: Path) -> list[bytes]:
    from support.tiny_accelerator import MODEL, TINY
    from trilobite.fpga.compiler import compile_model
    from trilobite.fpga.image import image_of
    from trilobite.quant.formats import Ternary
    from trilobite.runtime.random_weights import random_weights

    program = compile_model(MODEL, random_weights(MODEL, Ternary()), TINY, _CAPACITY)
    folder = scratch / "image"
    write_image(image_of(program, "tiny", _CAPACITY), folder, "1", {})
    manifest = (folder / "manifest.json").read_bytes()
    memory = (folder / "memory.bin").read_bytes()
    return [len(manifest).to_bytes(_SIZE, "little") + manifest + memory]


TARGETS = {"image": image, "serial": serial}
MUTATORS = {"image": change_prefixed(_SIZE), "serial": change_answers}
SEEDS = {
    "image": _image_seeds,
    "serial": lambda scratch: [change_answers(b"", random.Random(seed)) for seed in range(20)],
}
