"""The table of ``trilobite synth --timing``: which clock each block can have, and why no higher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from .console import Output, make_table

if TYPE_CHECKING:
    from ..api.synth import SynthesizedBlocks
    from ..fpga.timing.analysis import BlockTiming
    from ..fpga.timing.paths import Path

__all__ = ["print_timing"]


def print_timing(output: Output, found: SynthesizedBlocks) -> None:
    """Print a row for each block, what the figures rest on, and the clock for an estimate."""
    from ..api.synth import WHOLE

    blocks = found.timing
    routed = [synthesis.timing.fmax if synthesis.timing else None for synthesis in found.blocks]
    table = make_table("block", ">levels", ">MHz", *([">routed"] if any(routed) else []), ">over",
                       "slowest path")
    table.columns[0].no_wrap = True
    table.columns[-1].overflow = "fold"
    table.padding = (0, 1, 0, 0)   # 80 characters hold all columns
    for block, fmax in zip(blocks, routed, strict=True):
        if block.block == WHOLE:
            table.add_section()
        clocks = [_clocks(block), *([f"{fmax:.0f}" if fmax else ""] if any(routed) else [])]
        table.add_row(block.block, str(block.levels), *clocks, f"{block.over['nominal']:,}",
                      _way(block.paths[0]) if block.paths else "")
    output.show(table)
    output.print("MHz: nominal (optimistic to pessimistic). over: endpoints of paths that are too "
                 "slow for {:g} MHz, nominal.", blocks[0].target)
    if blocks[-1].block == WHOLE:
        output.print("whole: the netlists of all parts, joined by that of the top level, so that "
                     "paths through several of them are in it, with the fan-out that they have "
                     "there. Each was mapped alone: nothing is shared or simplified between them.")
    _print_cells(output, blocks)
    _print_errors(output, [block.mhz["nominal"] / fmax - 1
                           for block, fmax in zip(blocks, routed, strict=True) if fmax])
    low, nominal, high = (f"{found.clock[corner]:.0f}"
                          for corner in ("pessimistic", "nominal", "optimistic"))
    output.print("The slowest of all, as [bold]clock[/] of an accelerator's file takes it:")
    output.line(f'frequency = {{ low = {low}, nominal = {nominal}, high = {high}, unit = "MHz", '
                'kind = "analysed", source = "trilobite synth --timing" }')


def _print_errors(output: Output, errors: Sequence[float]) -> None:
    """Print how far the nominal clocks are from those after routing, where there are such."""
    if errors:
        output.print("The nominal clocks of {} blocks, compared with those after routing: median "
                     "error {:+.0%}, median absolute error {:.0%}, from {:+.0%} to {:+.0%}.",
                     len(errors), median(errors), median(map(abs, errors)), min(errors),
                     max(errors))


def _clocks(block: BlockTiming) -> str:
    mhz = {corner: f"{value:.0f}" for corner, value in block.mhz.items()}
    return f"{mhz['nominal']} ({mhz['optimistic']}-{mhz['pessimistic']})"


def _way(path: Path) -> str:
    """Start and end, with the line that declares each, where one is known."""
    start = f"{path.start} ({source})" if (source := path.steps[0].source) else path.start
    end = f"{path.end} ({path.end_source})" if path.end_source else path.end
    return f"{start} > {end}"


def _print_cells(output: Output, blocks: Sequence[BlockTiming]) -> None:
    """Print which registers the blocks' cells have, what is granted, and what was left out."""
    cells: Counter[str] = Counter()
    for block in blocks:
        cells.update(block.cells)
    if cells:
        output.print("The netlists have: {}.", "; ".join(
            f"{count} {cell}" for cell, count in sorted(cells.items())))
    credited = sorted({sentence for block in blocks for sentence in block.credited})
    output.print("Credited beyond the netlist: {}", "; ".join(credited) or "nothing.")
    if cut := sum(len(block.cut) for block in blocks):
        output.print("{} where no signal passes {}.", _loops(cut, "is cut", "are cut"),
                     "it" if cut == 1 else "them")
    for block in blocks:
        if block.lost:
            count = len(block.lost)
            output.print("[bold yellow]{}: paths through {} not analysed: behind {}.[/]",
                         block.block, _loops(count, "are", "are"), ", ".join(block.lost))


def _loops(count: int, one: str, several: str) -> str:
    return f"{count} combinational {f'loop {one}' if count == 1 else f'loops {several}'}"
