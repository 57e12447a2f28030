"""What blocks of the hardware take of a device: LUT, FF, DSP, memory, and a clock."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..fpga.synth.blocks import select_blocks
from ..fpga.synth.flow import Synthesis, synthesize
from ..fpga.synth.targets import Target, find_target
from ..sim.descriptions.accelerator import load_accelerator
from ..sim.descriptions.device import load_device
from ..tools.progress import SILENT, Progress

__all__ = ["SynthesizedBlocks", "synth"]


@dataclass(frozen=True)
class SynthesizedBlocks:
    """What each block takes of ``target``, made as large as the accelerator ``configuration`` says.

    ``total`` is the sum over the blocks, ``available`` what the device has, both by resource.
    """

    target: Target
    configuration: str
    blocks: tuple[Synthesis, ...]
    total: dict[str, float]
    available: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """JSON values; docs/reference/json.md has the keys."""
        return {
            "device": self.target.name, "configuration": self.configuration,
            "available": self.available,
            "blocks": [dataclasses.asdict(block) for block in self.blocks],
            "total": self.total,
        }


def synth(
    device: str = "kv260", blocks: Sequence[str] = (), hardware: str | None = None,
    progress: Progress = SILENT,
) -> SynthesizedBlocks:
    """Synthesize blocks for a device; what was synthesized before is read from the cache.

    Parameters
    ----------
    device
        One of ``fpga.synth.TARGETS``.
    blocks
        Names, or patterns such as ``tlmm-g*``; none takes all parts of the accelerator.
    hardware
        An accelerator in RTL by name, or a .toml file; None takes that of the device.
    progress
        Is told of each block.

    Raises
    ------
    TrilobiteError
        There is no such device, block or accelerator.
    ToolError
        A tool is missing or failed.
    """
    target = find_target(device)
    name = hardware or target.configuration
    parameters = load_accelerator(name).whole()
    selected = select_blocks(blocks)
    progress.start(len(selected))
    results = []
    for block in selected:
        progress.doing(f"Synthesizing {block.name}")
        results.append(synthesize(block, parameters, target))
        progress.advance()
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.resources)
    return SynthesizedBlocks(target, name, tuple(results), dict(total), _available(device))


def _available(device: str) -> dict[str, int]:
    """What the device has of each resource that is limited."""
    fabric = load_device(device).fabric
    return {
        "LUT": fabric.lut.count, "FF": fabric.flip_flop.count, "DSP": fabric.dsp.count,
        "BRAM36": fabric.bram.count, "BRAM18": 2 * fabric.bram.count, "URAM": fabric.uram.count,
    }
