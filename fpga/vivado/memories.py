"""Memories as Vivado wants them: which blocks they take, and no word written where all are zero."""

from __future__ import annotations

import re

__all__ = ["BLOCK_BITS", "ULTRA_BITS", "prepare_memories"]

BLOCK_BITS = 1 << 16   # from which a memory is asked to be block RAM: else the tool may choose
ULTRA_BITS = 1 << 20   # and UltraRAM, of which a block has 288 Kbit

_MODULE = re.compile(r"^module .*?^end$", re.M | re.S)
_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) (\S+)$", re.M)
_READ = re.compile(r"^  cell \$memrd_v2 .*?^  end\n", re.M | re.S)
_WORDS = re.compile(r"^  cell \$meminit_v2 .*?^  end\n\n?", re.M | re.S)
_ZEROS = re.compile(r"^    connect \\DATA \d+'0+$", re.M)


def prepare_memories(rtlil: str) -> str:
    """Amaranth's RTLIL, with ``ram_style`` (UG901) at large memories and without zeros in them.

    The device's memories are zero after configuration, and UltraRAM cannot be anything else. A
    memory that is read without a clock stays as it is: block RAM cannot do that.
    """
    return _MODULE.sub(lambda found: _prepared(found[0]), rtlil)


def _prepared(module: str) -> str:
    clocked: dict[str, bool] = {}
    for read in _READ.finditer(module):
        name = re.search(r'\\MEMID "\\(\\\S+)"', read[0])
        assert name, read[0]
        clocked[name[1]] = clocked.get(name[1], True) and "\\CLK_ENABLE 1" in read[0]

    def styled(memory: re.Match[str]) -> str:
        bits = int(memory[1]) * int(memory[2])
        if bits < BLOCK_BITS or not clocked.get(memory[3], False):
            return memory[0]
        style = "ultra" if bits >= ULTRA_BITS else "block"
        return f'  attribute \\ram_style "{style}"\n{memory[0]}'

    module = _MEMORY.sub(styled, module)
    return _WORDS.sub(lambda words: "" if _ZEROS.search(words[0]) else words[0], module)
