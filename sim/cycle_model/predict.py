"""Cycles of a step of the accelerator, of the descriptors that it is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import TrilobiteError
from ...fpga.compiler import Program
from ...fpga.descriptors import Operation
from ...fpga.events import COUNTERS
from ...tools.compiled import njit
from ..descriptions.ddr_timing import DdrTiming
from . import registers as r
from .attention import attend, drive_attend
from .machine import new_machine, program_lists
from .matmul import drive_matmul, step_matmul
from .port import step_port
from .posts import post
from .rows import drive_quantize, quantize, step_sources
from .sequencing import is_active, step_fetchers, step_sequencer
from .vocabulary import choose, drive_embed, drive_head, embed

__all__ = ["predict_step", "trace_step"]

_EMBED, _QUANTIZE, _MATMUL, _ATTEND, _HEAD = (int(operation) for operation in (
    Operation.EMBED, Operation.QUANTIZE, Operation.MATMUL, Operation.ATTEND, Operation.HEAD))


def predict_step(program: Program, timing: DdrTiming, tokens: int, position: int,
                 chooses: bool = True, started: int = 0,
                 cycle_limit: int = 1 << 28,
                 differs: Mapping[str, int] | None = None) -> dict[str, int]:
    """``fpga.counters.COUNTERS`` of a step of ``tokens`` tokens from ``position`` on.

    With ``chooses``, the last token goes on to the head. ``started`` is the step's first cycle
    since the memory's reset: when it refreshes depends on it. ``differs`` has values for what
    ``constants.constants`` says, to predict hardware that is not as it is here now.

    Raises
    ------
    TrilobiteError
        The step does not fit the program, or takes more than ``cycle_limit`` cycles.
    """
    notes = trace_step(program, timing, tokens, position, chooses, started, cycle_limit, differs)
    return dict(zip(COUNTERS, notes[-1].tolist(), strict=True))


def trace_step(program: Program, timing: DdrTiming, tokens: int, position: int,
               chooses: bool = True, started: int = 0,
               cycle_limit: int = 1 << 28,
               differs: Mapping[str, int] | None = None) -> np.ndarray:
    """The counters of ``predict_step`` as each descriptor was taken, and at the end.

    Int64 [descriptors + 1, counters]. What is between two rows is the first one's descriptor: it is
    done, and the next one waited for. Raises like ``predict_step``.
    """
    room = program.memory.regions["tokens"].words * program.parameters.word_bytes // 4
    if not (0 < tokens <= program.step_tokens and 0 <= position < room - tokens):
        raise TrilobiteError(f"A step of {tokens} tokens at position {position} does not fit: at "
                             f"most {program.step_tokens} at once, {room - 1} in all")
    machine = new_machine(program, timing, tokens, position, chooses, started, differs or {})
    notes = np.zeros((len(program.descriptors), len(COUNTERS)), np.int64)
    if not _run(machine, *program_lists(program), notes, cycle_limit):
        raise TrilobiteError(f"A step of {tokens} tokens at position {position} takes more than "
                             f"{cycle_limit} cycles")
    return np.vstack([notes, machine["counters"]])


@njit(nogil=True)
def _run(m: r.Machine, program: np.ndarray, tiles: np.ndarray, notes: np.ndarray,
         cycle_limit: int) -> bool:
    """Cycle after cycle, who takes before who gives, so that a queue holds what it holds."""
    for now in range(cycle_limit):
        step_port(m, now)
        step_sequencer(m, program, notes, now)
        if m.ended == 1:
            return True
        step_fetchers(m, program, tiles, now)
        if is_active(m, now):
            _operate(m, now)
        step_sources(m, now)
        step_matmul(m, tiles, now)
    return False


@njit
def _operate(m: r.Machine, now: int) -> None:
    operation = m.operation
    if operation == _MATMUL:
        post(m, now)
        drive_matmul(m, now)
    elif operation == _QUANTIZE:
        quantize(m, now)
        drive_quantize(m, now)
    elif operation == _ATTEND:
        attend(m, now)
        drive_attend(m, now)
    elif operation == _EMBED:
        embed(m, now)
        drive_embed(m, now)
    else:
        choose(m, now)
        drive_head(m, now)
