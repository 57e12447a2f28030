"""The registers of an accelerator: one table, for the RTL, for the host and for the documentation.

Plain Python. Addresses are of bytes, every register has 32 bits and is accessed as a whole (strobes
are kept). ``docs/reference/registers.md`` is written from this table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Literal

from .accelerator_parameters import AcceleratorParameters
from .descriptors import DESCRIPTOR_BYTES, FIELDS
from .events import COUNTERS
from .runs import RUN_FIELDS

__all__ = ["ADDRESS_WIDTH", "BASE_ALIGNMENT", "COUNTER_REGISTERS", "IDENTITY", "PATIENCE",
           "REGISTERS", "RUN_REGISTERS", "TIMEOUT", "VERSION", "Access", "Command", "Interrupt",
           "Register", "Status", "configuration_hash", "image_parameters"]

ADDRESS_WIDTH = 12          # a page of the host's memory
IDENTITY = 0x424C5254       # "TRLB" in the order of its bytes
VERSION = 0x0002_0000       # of this table: a host takes those with its own upper half
BASE_ALIGNMENT = 4096       # so that no burst crosses a multiple of 4 KiB
TIMEOUT, PATIENCE = 4096, 1 << 16
_LAYOUT = 2                 # of images: tiles, vocabulary, cache and lists of descriptors

Access = Literal["read", "write", "read, write", "read, clear"]


class Command:
    """Bits of ``control``."""

    START, ABORT, CLEAR = 1, 2, 4


class Status:
    """Bits of ``status``."""

    BUSY, FAILED, ABORTING, REFUSED = 1, 2, 4, 8


class Interrupt:
    """Bits of ``interrupt_enable`` and ``interrupt_status``."""

    ENDED, TOKEN = 1, 2


@dataclass(frozen=True)
class Register:
    """A register. ``clear``: what is written as 1 becomes 0. ``reset`` in words if it varies."""

    address: int
    access: Access
    reset: int | str
    meaning: str = field(compare=False)


_RUN_MEANINGS = {
    "program": "word (of the image) at which the list of descriptors begins",
    "tiles": "word at which the list of weight tiles begins",
    "tile_count": "entries of that list that a step uses",
    "tokens": "tokens of the first step",
    "position": "position of the first of them",
    "new_tokens": "tokens to choose; 0: the step chooses none",
    "end_token": "the token that ends the run; 0xFFFFFFFF: none does",
    "logits": "1: the logits of each choice go to the image's region of that name, before it",
}
_COUNTERS_AT = 0x40

RUN_REGISTERS: dict[str, int] = {
    name: 0x10 + 4 * number for number, name in enumerate(RUN_FIELDS)}
COUNTER_REGISTERS: dict[str, int] = {
    name: _COUNTERS_AT + 8 * number for number, name in enumerate(COUNTERS)}

REGISTERS: dict[str, Register] = {
    "control": Register(
        0x00, "write", 0, "bit 0 starts a run; bit 1 aborts: the core is reset once its memory "
        "accesses have ended; bit 2 clears the counters. Reads as 0"),
    "status": Register(
        0x04, "read", 0, "bit 0 busy; bit 1 failed; bit 2 aborting; bit 3 a start was refused, "
        "because the accelerator was busy, failed or aborting: an abort clears it"),
    "error": Register(
        0x08, "read", 0, "bits 2..0 the run's error, 10..8 that of reads, 18..16 that of writes; "
        "an abort clears them"),
    "failed": Register(
        0x0C, "read", 0, "the first 32 bits of the descriptor at which the error happened"),
    **{name: Register(address, "read, write", 0,
                      f"{_RUN_MEANINGS[name]}. SLVERR while a run is offered and not taken")
       for name, address in RUN_REGISTERS.items()},
    **{f"count_{name}{part}": Register(
        COUNTER_REGISTERS[name] + place, "read", 0,
        f"cycles since the counters were cleared: {meaning}" if not part else
        f"upper bits of `count_{name}` as they were when its lower ones were read")
       for name, meaning in COUNTERS.items() for place, part in ((0, ""), (4, "_high"))},
    "identity": Register(0x100, "read", IDENTITY, "`TRLB` in the order of its bytes"),
    "version": Register(
        0x104, "read", VERSION, "of this table: the upper half changes where a host must know it"),
    "configuration": Register(
        0x108, "read", "the hash's lower half",
        "64 bits of a hash of the accelerator's parameters: an image has the same, or is refused"),
    "configuration_high": Register(
        0x10C, "read", "the hash's upper half", "its upper half"),
    "word_bytes": Register(0x110, "read", "`word_bytes`", "bytes of a word of the memory port"),
    "max_tokens": Register(0x114, "read", "`max_tokens`", "most tokens of a step"),
    "max_context": Register(0x118, "read", "`max_context`", "most tokens of prompt and output"),
    "max_vocabulary": Register(
        0x11C, "read", "`max_vocabulary`", "most tokens of a vocabulary"),
    "base": Register(
        0x120, "read, write", 0, "byte address of the image's first word: a multiple of 4,096, "
        "whose lower bits read as 0. SLVERR while a run is under way"),
    "base_high": Register(
        0x124, "read, write", 0, "its upper half; bits that the memory port lacks read as 0"),
    "timeout": Register(
        0x128, "read, write", TIMEOUT, "cycles without an answer of memory that are an error; 0: "
        "none are. SLVERR while a run is under way"),
    "patience": Register(
        0x12C, "read, write", PATIENCE, "cycles without any progress after which a run is stuck; "
        "0: it never is. SLVERR while a run is under way"),
    "interrupt_enable": Register(
        0x130, "read, write", 0, "bit 0 the end of a run, bit 1 a token: which ones interrupt"),
    "interrupt_status": Register(
        0x134, "read, clear", 0, "bit 0 a run ended, well or not, after memory had acknowledged "
        "all that it wrote; bit 1 a token was written. Set whether they interrupt or not"),
    "token": Register(
        0x138, "read", 0, "bits 23..0 the token written last; 31..24 how many of this run memory "
        "has acknowledged, modulo 256: they can be read there, behind the prompt"),
    "scratch": Register(0x13C, "read, write", 0, "nothing: for a test of the way to here"),
    "ports": Register(
        0x140, "read", "`ports`", "memory ports; port i has part i of every word, as many bytes of "
        "each, one behind the other"),
    "spacing": Register(
        0x144, "read, write", 0, "bytes from where a port's parts begin (port 0: `base`) to where "
        "the next one's do: a multiple of 4,096, whose lower bits read as 0; with one port it does "
        "nothing. SLVERR while a run is under way"),
}


def configuration_hash(parameters: AcceleratorParameters | Mapping[str, Any]) -> int:
    """64 bits that tell accelerators apart whose images differ, or may.

    ``parameters`` are an accelerator's, or what ``dataclasses.asdict`` makes of them.
    """
    values = image_parameters(parameters)
    content = {"layout": _LAYOUT, "descriptor": [DESCRIPTOR_BYTES, FIELDS], "parameters": values}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def image_parameters(parameters: AcceleratorParameters | Mapping[str, Any]) -> dict[str, Any]:
    """All parameters but those that no image depends on."""
    values = asdict(parameters) if is_dataclass(parameters) else dict(parameters)
    values.pop("ports", None)
    return values
