"""What blocks of the hardware take of a device, and the clock that they can have."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ToolError
from ..fpga.synth.blocks import select_blocks
from ..fpga.synth.flow import BOX, Mapped, Synthesis, counted, map_block
from ..fpga.synth.targets import Target, find_target
from ..fpga.synth.top_level import WHOLE, map_top_level
from ..fpga.timing.analysis import BlockTiming, analyse, analyse_whole, target_clock
from ..fpga.timing.arcs import CORNERS
from ..sim.descriptions.accelerator import load_accelerator
from ..sim.descriptions.device import load_device
from ..tools.progress import SILENT, Progress

__all__ = ["WHOLE", "SynthesizedBlocks", "synth"]


@dataclass(frozen=True)
class SynthesizedBlocks:
    """What each block takes of ``target``, made as large as the accelerator ``configuration`` says.

    ``total`` is the sum over the blocks, ``available`` what the device has, both by resource.
    ``timing`` has the static timing analysis of each block, if it was asked for. Where all parts
    are synthesized and not placed, the top level that joins them is the last of ``blocks``, and the
    last of ``timing`` is the whole accelerator.
    """

    target: Target
    configuration: str
    blocks: tuple[Synthesis, ...]
    total: dict[str, float]
    available: dict[str, int]
    timing: tuple[BlockTiming, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values; docs/reference/json.md has the keys."""
        return {
            "device": self.target.name, "configuration": self.configuration,
            "available": self.available,
            "blocks": [dataclasses.asdict(block) for block in self.blocks],
            "total": self.total,
            **({"timing": [dataclasses.asdict(block) for block in self.timing],
                "clock": self.clock} if self.timing else {}),
        }

    @property
    def clock(self) -> dict[str, float]:
        """The clock of the slowest that was analysed in MHz, by corner; empty if nothing was."""
        return {corner: min(block.mhz[corner] for block in self.timing)
                for corner in CORNERS if self.timing}


def synth(
    device: str = "kv260", blocks: Sequence[str] = (), hardware: str | None = None,
    progress: Progress = SILENT, *, timing: bool = False, clock: float | None = None,
) -> SynthesizedBlocks:
    """Synthesize blocks for a device; what was synthesized before is read from the cache.

    Parameters
    ----------
    device
        One of ``fpga.synth.TARGETS``.
    blocks
        Names, or patterns such as ``tlmm-g*``; none takes all parts of the accelerator, and what
        joins them.
    hardware
        An accelerator in RTL by name, or a .toml file; None takes that of the device.
    progress
        Is told of each block.
    timing
        Also analyse which clock each block can have, and by which paths.
    clock
        The frequency in MHz to which the analysis compares; None takes that of the device.

    Raises
    ------
    TrilobiteError
        There is no such device, block or accelerator, or no analysis of the device's timing; the
        clock is not above 0, or was given without ``timing``.
    ToolError
        A tool is missing or failed.
    """
    target = find_target(device)
    name = hardware or target.configuration
    parameters = load_accelerator(name).whole()
    selected = select_blocks(blocks, parameters)
    frequency = target_clock(target, clock) if timing or clock is not None else None
    if frequency and not timing:
        raise ToolError("A clock is what the analysis of timing compares to; ask for it, too")
    joined = not blocks and not target.place
    progress.start(len(selected) + joined)
    parts: dict[str, Mapped] = {}
    results, analysed = [], []
    for block in selected:
        progress.doing(f"Synthesizing {block.name}")
        mapped = parts[BOX + block.name] = map_block(block, parameters, target)
        results.append(counted(mapped, parameters))
        if frequency:
            progress.doing(f"Analysing {block.name}")
            analysed.append(analyse(mapped, frequency))
        progress.advance()
    if joined:
        progress.doing("Synthesizing the top level")
        top = map_top_level(parameters, target)
        results.append(counted(top, parameters))
        if frequency:
            progress.doing("Analysing the accelerator")
            analysed.append(analyse_whole(WHOLE, top, parts, frequency))
        progress.advance()
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.resources)
    return SynthesizedBlocks(target, name, tuple(results), dict(total), _available(device),
                             tuple(analysed))


def _available(device: str) -> dict[str, int]:
    """What the device has of each resource that is limited."""
    fabric = load_device(device).fabric
    return {
        "LUT": fabric.lut.count, "FF": fabric.flip_flop.count, "DSP": fabric.dsp.count,
        "BRAM36": fabric.bram.count, "BRAM18": 2 * fabric.bram.count, "URAM": fabric.uram.count,
    }
