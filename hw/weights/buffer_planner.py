"""Which memory blocks of an FPGA make a weight buffer, and what tiles fit into it.

Plain Python, exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import TrilobiteError
from ..matmul.engine_parameters import TlmmParameters

__all__ = [
    "BLOCKS",
    "BufferPlan",
    "MemoryBlock",
    "TilePlan",
    "plan_buffer",
    "plan_tiles",
    "weight_beat_width",
]


@dataclass(frozen=True)
class MemoryBlock:
    """A kind of memory block, as a memory that is read or written in a cycle."""

    width: int   # bits
    depth: int   # words


# UltraScale+ (AMD UG573): a block RAM is widest with a port for each; both ports of an UltraRAM
# together are one of twice the width.
BLOCKS = {"uram": MemoryBlock(144, 2048), "bram36": MemoryBlock(72, 512)}


@dataclass(frozen=True)
class BufferPlan:
    """A memory of ``depth`` words of ``width`` bits made of ``banks * rows`` blocks.

    ``banks`` blocks stand side by side for the width and ``rows`` of them behind each other.
    """

    kind: str
    width: int
    depth: int
    banks: int
    rows: int

    @property
    def blocks(self) -> int:
        """Blocks in all."""
        return self.banks * self.rows

    @property
    def used(self) -> float:
        """Share of the blocks' bits that the memory uses."""
        block = BLOCKS[self.kind]
        return self.width * self.depth / (self.blocks * block.width * block.depth)


@dataclass(frozen=True)
class TilePlan:
    """A matrix cut into ``tiles`` of ``rows`` output rows (the last one may have fewer)."""

    rows: int
    tiles: int
    beats: int   # of a whole tile


def weight_beat_width(parameters: TlmmParameters) -> int:
    """Bits of a weight beat: an index per table and column."""
    return parameters.index_width * parameters.tables * parameters.columns


def plan_buffer(width: int, least_depth: int, available: Mapping[str, int]) -> BufferPlan:
    """The memory of at least ``least_depth`` words that takes the smallest share of a device.

    ``available`` says how many blocks of each kind may be used. The depth is that of
    whole blocks: what they have anyway is not left over.

    Raises
    ------
    TrilobiteError
        A kind is unknown, or no kind has enough blocks.
    """
    if unknown := sorted(set(available) - set(BLOCKS)):
        raise TrilobiteError(f"Memory block {unknown[0]!r} is unknown; known are "
                             f"{', '.join(BLOCKS)}")
    if width < 1 or least_depth < 1:
        raise TrilobiteError(f"A buffer has at least one word of one bit, not {least_depth} of "
                             f"{width}")
    plans = []
    for kind, count in available.items():
        block = BLOCKS[kind]
        banks, rows = -(-width // block.width), -(-least_depth // block.depth)
        plan = BufferPlan(kind, width, rows * block.depth, banks, rows)
        if plan.blocks <= count:
            plans.append((plan.blocks / count, plan.kind, plan))
    if not plans:
        offers = ", ".join(f"{count} {kind}" for kind, count in available.items())
        raise TrilobiteError(f"A buffer of {least_depth} words of {width} bits does not fit into "
                             f"{offers or 'no memory blocks'}")
    return min(plans)[2]


def plan_tiles(parameters: TlmmParameters, M: int, K: int, depth: int) -> TilePlan:
    """Cut an [M, K] matrix into the fewest tiles of which two fit into ``depth`` beats.

    Tiles are cut between blocks of C rows and made equally high, to within a block: the engine
    needs as many blocks as it can get, because each tile has its tables built anew.

    Raises
    ------
    TrilobiteError
        Not even two tiles of one block fit.
    """
    passes, blocks = parameters.passes(K), parameters.blocks(M)
    most = depth // 2 // passes
    if most == 0:
        raise TrilobiteError(f"Two tiles of {parameters.columns} rows and K = {K} take "
                             f"{2 * passes} beats, and the buffer has {depth}")
    tiles = -(-blocks // most)
    height = -(-blocks // tiles)
    return TilePlan(height * parameters.columns, -(-blocks // height), height * passes)
