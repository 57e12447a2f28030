"""Run programs on an accelerator, through its registers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import HostError
from ..fpga.descriptors import describe_operation
from ..fpga.events import COUNTERS
from ..fpga.image import Image
from ..fpga.registers import (
    BASE_ALIGNMENT,
    COUNTER_REGISTERS,
    IDENTITY,
    PATIENCE,
    REGISTERS,
    RUN_REGISTERS,
    TIMEOUT,
    VERSION,
    Command,
    Interrupt,
    Status,
)
from ..fpga.runs import NO_TOKEN, RunError
from ..hw.memory.responses import PortError
from .striped_memory import memory_of
from .transport import Transport

__all__ = ["Driver", "Identity", "Run", "RunFailed", "runs_of"]

_LOOK = 0.05        # seconds between two looks at the status where no interrupt comes
_PIECE = 1 << 16    # bytes of memory that are written between two reports of progress


@dataclass(frozen=True)
class Identity:
    """What a board says of itself."""

    version: int
    configuration: int
    word_bytes: int
    max_tokens: int
    max_context: int
    max_vocabulary: int
    ports: int


@dataclass(frozen=True)
class Run:
    """A run, as ``fpga.sequencer.run_layout`` says."""

    tokens: int
    position: int
    new_tokens: int
    end_token: int = NO_TOKEN
    logits: int = 0


def runs_of(most: int, position: int, tokens: int, new_tokens: int,
            end_token: int = NO_TOKEN) -> list[Run]:
    """Runs that feed ``tokens`` tokens from ``position`` on, ``most`` in a step; the last goes on.

    Only the last one chooses tokens: ``new_tokens`` of them.
    """
    *pieces, last = range(0, tokens, most)
    return [*(Run(most, position + begin, 0) for begin in pieces),
            Run(tokens - last, position + last, new_tokens, end_token)]


class RunFailed(HostError):  # noqa: N818 - what happened, not a kind of error
    """The accelerator ended a run by an error; ``abort`` makes it ready for the next.

    Attributes
    ----------
    error, read_error, write_error
        What the register ``error`` says.
    descriptor
        The operation at which it happened.
    """

    def __init__(self, where: str, error: int, read_error: int, write_error: int,
                 descriptor: int) -> None:
        self.error, self.descriptor = RunError(error), describe_operation(descriptor)
        self.read_error, self.write_error = PortError(read_error), PortError(write_error)
        ports = [f"{name} {port.name}" for name, port in (
            ("reads", self.read_error), ("writes", self.write_error)) if port]
        said = f" ({', '.join(ports)})" if ports else ""
        super().__init__(f"{where}: the run ended with {self.error.name}{said} at "
                         f"{self.descriptor}; docs/reference/registers.md says what it means")


class Driver:
    """A board with an image, or without one yet.

    Parameters
    ----------
    transport
        The way to it. It is not closed.
    patience
        Seconds without a new token or the end of a step after which a run is given up and aborted.

    Raises
    ------
    HostError
        At once: there is no accelerator of this version. Later: the board does not answer.
    """

    def __init__(self, transport: Transport, patience: float = 60.0) -> None:
        self._board, self._patience = transport, patience
        self.identity = self._identify()   # and then its memory, in however many regions
        self.memory = memory_of(transport, self.identity.ports, self.identity.word_bytes)
        self.image: Image | None = None
        self._set("interrupt_enable", Interrupt.ENDED | Interrupt.TOKEN)

    def _identify(self) -> Identity:
        found = self._get("identity")
        if found != IDENTITY:
            raise HostError(f"{self._board.name} has no accelerator of Trilobite's: its register "
                            f"'identity' reads 0x{found:08x}, not 0x{IDENTITY:08x}")
        version = self._get("version")
        if version >> 16 != VERSION >> 16:
            raise HostError(f"{self._board.name} has registers of version {_version(version)}, and "
                            f"this program knows {_version(VERSION)}; build the bitstream anew")
        word_bytes, tokens, context, vocabulary, ports = map(self._get, (
            "word_bytes", "max_tokens", "max_context", "max_vocabulary", "ports"))
        return Identity(version, self._get("configuration") | self._get("configuration_high") << 32,
                        word_bytes, tokens, context, vocabulary, ports)

    def load(self, image: Image, told: Callable[[float], None] = lambda count: None) -> None:
        """Write an image into memory. ``told`` is told of bytes that are written.

        Raises
        ------
        HostError
            It was made for another accelerator, or memory is too small: nothing is written. The
            board is busy with another run, and stays so.
        """
        self.image = None
        self.check(image)
        status = self._get("status")
        if status & (Status.BUSY | Status.ABORTING):
            raise HostError(f"{self._board.name} is busy with a run; abort it first")
        if status & (Status.FAILED | Status.REFUSED):
            self.abort()
        base = self._board.memory_base
        self._set("base", base & 0xFFFF_FFFF)
        self._set("base_high", base >> 32)
        if self.identity.ports > 1:
            self._set("spacing", self.memory.spacing)
        kept = self._get("base") | self._get("base_high") << 32
        if kept != base:
            raise HostError(f"{self._board.name}: its memory begins at 0x{base:x}, and the "
                            f"register 'base' keeps 0x{kept:x}: the memory port has fewer bits, or "
                            f"memory does not begin at a multiple of {BASE_ALIGNMENT}")
        for place, content in image.pieces(_PIECE):
            self.memory.write_memory(place, content)
            told(len(content))
        self.image = image

    def check(self, image: Image) -> None:
        """Raise ``HostError`` where the board cannot run an image."""
        if image.configuration != self.identity.configuration:
            raise HostError(
                f"{image.name} was made for the accelerator with the hash "
                f"{image.configuration:016x}, and {self._board.name} has one with "
                f"{self.identity.configuration:016x}; compile the model for that one, or load its "
                "bitstream")
        if image.nbytes > self.memory.memory_bytes:
            raise HostError(f"{image.name} takes {image.nbytes:,} bytes of memory, and "
                            f"{self._board.name} has {self.memory.memory_bytes:,}")

    def generate(self, prompt: Sequence[int], new_tokens: int, end_tokens: Sequence[int] = (),
                 position: int = 0) -> Iterator[int]:
        """Feed ``prompt`` from ``position`` on and yield tokens as memory acknowledges them.

        The last one is one of ``end_tokens``, or the ``new_tokens``-th. What has been yielded when
        the iterator is closed is kept in memory; the run is aborted then.

        Raises
        ------
        HostError
            There is no image, or no room for so many tokens; ``RunFailed``.
        """
        self._check_room(prompt, new_tokens, position)
        self.write_tokens(position, prompt)
        for run in runs_of(self._step_tokens(), position, len(prompt), new_tokens,
                           end_tokens[0] if end_tokens else NO_TOKEN):
            for token in self.run(run):
                yield token
                if token in end_tokens:
                    return

    def sample(self, prompt: Sequence[int], new_tokens: int,
               choose: Callable[[np.ndarray], int], end_tokens: Sequence[int] = (),
               position: int = 0) -> Iterator[int]:
        """Generate as ``generate`` does, but let the host choose: there is a run for each token.

        ``choose`` is given the logits, float32 [vocab_size]: the runtime's bits.
        """
        image = self._loaded()
        self._check_room(prompt, new_tokens, position)
        self.write_tokens(position, prompt)
        fed = len(prompt)
        for _ in range(new_tokens):
            *pieces, last = runs_of(self._step_tokens(), position, fed, 1)
            for run in (*pieces, replace(last, logits=1)):
                for _ in self.run(run):
                    pass   # the largest logit, which nobody asked for
            content = self.read_region("logits", 4 * image.vocab_size)
            token = choose(np.frombuffer(content, "<f4"))
            position, fed = position + fed, 1
            self.write_tokens(position, [token])
            yield token
            if token in end_tokens:
                return

    def run(self, run: Run) -> Iterator[int]:
        """Do one run on tokens that are in memory; yield those that it chooses."""
        self.start(run)
        place, given = run.position + run.tokens, 0
        ended = False
        try:
            while not ended:
                ended = self._wait(given)
                new = ((self._get("token") >> 24) - given) & 0xFF
                yield from self.read_tokens(place + given, new)
                given += new
        finally:
            if not ended:
                self.abort()

    def _step_tokens(self) -> int:
        """Most tokens of a step of the model that is loaded."""
        return self._loaded().step_tokens(self.identity.max_tokens)

    def _check_room(self, prompt: Sequence[int], new_tokens: int, position: int) -> None:
        """Raise ``HostError`` for what a run cannot be asked for."""
        image = self._loaded()
        if not prompt or new_tokens < 1:
            raise HostError("At least one token of prompt and one new token are needed")
        strange = [token for token in prompt if not 0 <= token < image.vocab_size]
        if strange:
            raise HostError(f"Token id {strange[0]} is outside of the vocabulary of "
                            f"{image.vocab_size} that {image.name} has")
        end = position + len(prompt) + new_tokens
        if end - 1 > image.capacity:
            raise HostError(f"{end} tokens of prompt and output are asked for, and {image.name} "
                            f"has room for {image.capacity}")

    def start(self, run: Run) -> None:
        """Start a run, its counters at 0. Raises ``HostError`` where it is refused."""
        image = self._loaded()
        fields = {"program": image.program, "tiles": image.tiles, "tile_count": image.tile_count,
                  "tokens": run.tokens, "position": run.position, "new_tokens": run.new_tokens,
                  "end_token": run.end_token, "logits": run.logits}
        for name, address in RUN_REGISTERS.items():
            self._board.write_register(address, fields[name])
        self._set("interrupt_status", Interrupt.ENDED | Interrupt.TOKEN)
        self._set("control", Command.START | Command.CLEAR)
        status = self._get("status")
        if status & Status.REFUSED:
            raise HostError(f"{self._board.name} refused to start a run: its status is "
                            f"0x{status:x}; abort it first")

    def _wait(self, given: int) -> bool:
        """Wait for a token more than were ``given``, or the end of the run; whether it ended."""
        limit = time.monotonic() + self._patience
        while True:
            self._board.wait(_LOOK)
            self._set("interrupt_status", Interrupt.ENDED | Interrupt.TOKEN)
            status = self._get("status")
            if status & Status.FAILED:
                raise self.failure()
            if not status & Status.BUSY:
                return True
            if (self._get("token") >> 24) != given & 0xFF:
                return False
            if time.monotonic() > limit:
                raise HostError(f"{self._board.name}: nothing came for {self._patience:g} s; the "
                                "run was aborted")

    def abort(self) -> None:
        """End whatever is done, and wait until memory has answered all that was asked of it."""
        self._set("control", Command.ABORT)
        limit = time.monotonic() + self._patience
        while self._get("status") & Status.ABORTING:
            if time.monotonic() > limit:
                raise HostError(f"{self._board.name}: memory never answers what the accelerator "
                                "asked of it; reset the board")
            self._board.wait(_LOOK)

    def failure(self) -> RunFailed:
        """What the registers say of an error."""
        error = self._get("error")
        return RunFailed(self._board.name, error & 7, error >> 8 & 7, error >> 16 & 7,
                         self._get("failed"))

    def counters(self) -> dict[str, int]:
        """The counters of the last run, by name."""
        return {name: self._count(COUNTER_REGISTERS[name]) for name in COUNTERS}

    def _count(self, address: int) -> int:
        low = self._board.read_register(address)
        return low | self._board.read_register(address + 4) << 32

    def limits(self, timeout: int = TIMEOUT, patience: int = PATIENCE) -> None:
        """Set the cycles that memory may not answer for, and those without progress; 0: any."""
        self._set("timeout", timeout)
        self._set("patience", patience)

    def write_tokens(self, position: int, tokens: Sequence[int]) -> None:
        """Put token ids into memory."""
        content = np.asarray(tokens, "<i4").tobytes()
        self.memory.write_memory(self._loaded().token_place(position, len(tokens)), content)

    def read_tokens(self, position: int, count: int) -> list[int]:
        """Token ids in memory."""
        if count == 0:
            return []
        place = self._loaded().token_place(position, count)
        return np.frombuffer(self.memory.read_memory(place, 4 * count), "<i4").tolist()

    def read_region(self, name: str, count: int) -> bytes:
        """The first ``count`` bytes of a region of the image, as they are now."""
        place, size = self._loaded().region(name)
        if count > size:
            raise ValueError(f"{name} has {size} bytes, not {count}")
        return self.memory.read_memory(place, count)

    def _loaded(self) -> Image:
        if self.image is None:
            raise HostError(f"{self._board.name} has no image; load one first")
        return self.image

    def _get(self, name: str) -> int:
        return self._board.read_register(REGISTERS[name].address)

    def _set(self, name: str, value: int) -> None:
        self._board.write_register(REGISTERS[name].address, value)


def _version(version: int) -> str:
    return f"{version >> 16}.{version & 0xFFFF}"
