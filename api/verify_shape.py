"""Cycles of a full-size model on the accelerator's RTL: some layers and the head, simulated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TrilobiteError
from ..quant.formats import Int4, Int8, Ternary
from ..runtime.random_weights import random_weights
from ..sim.descriptions.accelerator import load_accelerator
from ..sim.descriptions.ddr_timing import DdrTiming
from ..sim.descriptions.shapes import load_shape
from ..sim.report.schedule import draw_schedule
from ..sim.verify.full_size import PhaseCycles, count_phase
from ..tools.files import write_output
from ..tools.progress import SILENT, Progress

__all__ = ["CountedShape", "verify_shape"]

# Hz, assumed. A 512-bit port then moves at most 16.0 GB/s, 83 % of the KV260's 19.2: what refreshes
# and changes of rows leave of a DDR4 is in that share, so that beside it only latency is modelled,
# which is what DdrTiming() has.
_CLOCK = 250e6
_LOOKS = {"prefill": 2048, "decode": 256}   # cycles between two looks at the counters
_HEADS = {"int8": Int8(), "int4": Int4(group_size=None)}

# What the project set out to reach on a KV260: tokens/s at least, or seconds at most.
_GOALS = {
    ("bitnet-0.73b", "decode", 128): 75, ("bitnet-0.73b", "decode", 1024): 55,
    ("bitnet-0.73b", "prefill", 64): 0.10, ("bitnet-0.73b", "prefill", 128): 0.20,
    ("bitnet-2b", "decode", 128): 26,
}


@dataclass(frozen=True)
class CountedShape:
    """What a prefill or a decode step of ``shape`` costs on ``hardware``, at ``clock`` Hz."""

    shape: str
    hardware: str
    head: str
    timing: DdrTiming
    word_bytes: int
    cycles: PhaseCycles
    clock: float = _CLOCK

    @property
    def prefill(self) -> bool:
        """A prefill was counted, and not a decode step."""
        return self.cycles.phase == "prefill"

    @property
    def seconds(self) -> float:
        """The time of the prefill, or of the decode step."""
        return self.cycles.whole() / self.clock

    @property
    def read_share(self) -> float:
        """Part of the cycles in which the port read a word."""
        return self.cycles.whole("read_words") / self.cycles.whole()

    @property
    def moved_share(self) -> float:
        """Part of the cycles in which the port read or wrote a word."""
        return self.read_share + self.cycles.whole("write_words") / self.cycles.whole()

    @property
    def bytes_per_second(self) -> float:
        """What the port moved."""
        words = self.cycles.whole("read_words") + self.cycles.whole("write_words")
        return words * self.word_bytes / self.seconds

    @property
    def goal(self) -> float | None:
        """Seconds at most (prefill) or tokens/s at least (decode), where there is a goal."""
        return _GOALS.get((self.shape, self.cycles.phase,
                           self.cycles.tokens if self.prefill else self.cycles.context))

    @property
    def goal_met(self) -> bool:
        """It is at least as fast as the goal."""
        if self.goal is None:
            return False
        return self.seconds <= self.goal if self.prefill else 1 / self.seconds >= self.goal

    def to_json(self) -> dict[str, Any]:
        """JSON values; docs/reference/json.md has the keys."""
        return {"shape": self.shape, "hardware": self.hardware, "clock": self.clock,
                "head": self.head, "ddr": vars(self.timing), **self.cycles.to_json()}

    def write_schedule(self, path: str | Path) -> None:
        """Draw what happens in a layer as an SVG picture.

        Raises
        ------
        TrilobiteError
            ``verify_shape`` was not asked for ``samples``.
        OutputError
            The file cannot be written.
        """
        if self.cycles.samples is None:
            raise TrilobiteError("A schedule is drawn from samples: verify_shape(samples=True)")
        layers = self.cycles.layers
        title = (f"{layers} layer{'s' * (layers > 1)} of {self.shape}, "
                 + (f"prefill of {self.cycles.tokens} tokens" if self.prefill
                    else f"decode at context {self.cycles.context}"))
        write_output(Path(path), draw_schedule(self.cycles.samples, title) + "\n")


def verify_shape(
    shape: str, phase: str = "decode", tokens: int = 128, context: int = 128, layers: int = 1,
    hardware: str = "kv260", seed: int = 0, head: str = "int8", timing: DdrTiming | None = None,
    samples: bool = False, progress: Progress = SILENT,
) -> CountedShape:
    """Simulate some layers and the head of a shape with random weights, and count the rest.

    Parameters
    ----------
    shape
        A published shape's name, or a .toml file.
    phase, tokens, context
        ``prefill`` of ``tokens`` tokens, or a ``decode`` step after ``context`` tokens.
    layers
        How many are simulated; the others are counted from them.
    hardware
        An accelerator by name, or a .toml file.
    seed
        Of the weights.
    head
        Format of the embedding and the head: ``int8`` or ``int4``.
    timing
        Of the memory; None takes ``DdrTiming()``.
    samples
        Look at the counters in the course of a layer, for ``CountedShape.write_schedule``.
    progress
        Is told of each run.

    Raises
    ------
    TrilobiteError
        There is no such shape, accelerator, phase or head, the accelerator cannot run the model,
        or a number is out of range.
    ToolError
        A tool is missing, or the simulation failed.
    """
    if head not in _HEADS:
        raise TrilobiteError(f"The head is in {' or '.join(_HEADS)}, not {head!r}")
    config = load_shape(shape).config
    parameters = load_accelerator(hardware).whole()
    timing = timing or DdrTiming()
    progress.doing("Compiling the model")
    weights = random_weights(config, Ternary(), seed, _HEADS[head])
    cycles = count_phase(
        config, weights, parameters, phase, tokens, context, layers, timing,
        look=_LOOKS.get(phase, 0) if samples else 0, progress=progress)
    return CountedShape(shape, hardware, head, timing, parameters.word_bytes, cycles)
