"""``trilobite synth``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from ..cli.console import Output, make_table
from ..fpga.configuration import load_configuration
from ..fpga.synth import Synthesis, select_blocks, synthesize
from ..fpga.synth.targets import Target, find_target
from ..sim.descriptions.device import load_device

__all__ = ["run"]

_IN_JSON_ONLY = {"SRL"}   # few, and counted as LUT too


def run(output: Output, device: str, patterns: Sequence[str], configuration: str | None) -> None:
    """Synthesize the blocks that ``patterns`` name and print what each takes of ``device``."""
    target = find_target(device)
    name = configuration or target.configuration
    parameters = load_configuration(name)
    blocks = select_blocks(patterns)
    results = []
    with output.progress("Synthesizing", len(blocks)) as advance:
        for number, block in enumerate(blocks):
            advance(number, f"Synthesizing {block.name}")
            results.append(synthesize(block, parameters, target))
    available = _available(device)
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.resources)
    _print(output, target, results, total, available)
    output.json({
        "device": device, "configuration": name, "available": available,
        "blocks": [dataclasses.asdict(result) for result in results], "total": dict(total),
    })


def _available(device: str) -> dict[str, int]:
    """What the device has of each resource that is limited."""
    fabric = load_device(device).fabric
    return {
        "LUT": fabric.lut.count, "FF": fabric.flip_flop.count, "DSP": fabric.dsp.count,
        "BRAM36": fabric.bram.count, "BRAM18": 2 * fabric.bram.count, "URAM": fabric.uram.count,
    }


def _print(output: Output, target: Target, results: Sequence[Synthesis], total: Counter[str],
           available: dict[str, int]) -> None:
    names = [name for name in target.resources if name not in _IN_JSON_ONLY]
    clocks = [result for result in results if result.timing]
    engines = [result for result in results if result.macs_per_cycle]
    table = make_table("block", *(f">{name}" for name in names),
                       *([">LUT/MAC"] if engines else []), *([">MHz"] if clocks else []))
    table.columns[0].no_wrap = True
    table.padding = (0, 1, 0, 0)   # 80 characters hold all columns
    for result in results:
        cells = [f"{result.resources[name]:,.6g}" for name in names]
        if engines:
            cells.append(_per_mac(result))
        if clocks:
            cells.append(f"{result.timing.fmax:.1f}" if result.timing else "")
        table.add_row(result.block, *cells)
    if len(results) > 1:
        table.add_row(Text("sum", "bold"),
                      *(Text(f"{total[name]:,.6g}", "bold") for name in names))
    table.add_row(Text("of the device", "dim"), *(_share(total[name], available.get(name))
                                                  for name in names))
    output.print(table)
    for result in clocks:
        timing = result.timing
        output.print(f"{result.block}: {timing.fmax:.1f} MHz; the slowest path, {timing.logic:.2f} "
                     f"ns of logic and {timing.routing:.2f} ns of routing, leads from "
                     f"{timing.start} to {timing.end}", markup=False)


def _per_mac(result: Synthesis) -> str:
    macs = result.macs_per_cycle
    return f"{result.resources['LUT'] / macs:.2f}" if macs else ""


def _share(used: float, available: int | None) -> Text:
    return Text(f"{used / available:.1%}", "dim") if available else Text()
