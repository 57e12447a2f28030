"""llm.npu's ablation: Qwen1.5-1.8B, a prompt of 512 tokens, one technique after the other.

The paper's steps are 65 tokens/s on the CPU, 25 on the NPU as it is, 37 with chunks, 395 with
shadow outliers (so that the NPU multiplies in INT8 per tensor), 569 out of order. The two in the
middle are of an NPU that multiplies group by group and builds its graphs anew, for which there are
no constants. Rates of the others are compared, and what the last two gain over each other.
"""

from __future__ import annotations

import dataclasses
import itertools

from ...descriptions.soc import Soc, load_soc
from ...events import Task, simulate
from ..soc_tasks import LayerPlacement, prefill_tasks, soc_system
from .llm_npu import MODELS
from .row import Basis, Row

__all__ = ["rows"]

_SOURCE = "llm.npu ablation"
_SHAPE = MODELS["Qwen1.5-1.8B"][0]
_PROMPT, _CHUNK = 512, 256
_ON_CPU = LayerPlacement("CPU", "int8", "CPU", "int8")
_ON_NPU = LayerPlacement("NPU", "int8", "CPU", "int8")
_CPU, _IN_ORDER, _OUT_OF_ORDER = 65.0, 395.0, 569.0   # the paper's tokens per second


def rows() -> list[Row]:
    """Three rates, and two of their ratios."""
    soc = load_soc("snapdragon-8-gen-3")
    cpu = _rate(soc, _tasks(soc, _ON_CPU))
    tasks = _tasks(soc, _ON_NPU)
    ordered, free = _rate(soc, _one_by_one(tasks)), _rate(soc, tasks)
    compared = [
        ("CPU", "token/s", cpu, _CPU, 0.65),
        ("NPU, one subgraph after the other", "token/s", ordered, _IN_ORDER, 1.80),
        ("NPU, out of order", "token/s", free, _OUT_OF_ORDER, 1.20),
        ("NPU, out of order, over the CPU", "times", free / cpu,
         round(_OUT_OF_ORDER / _CPU, 2), 0.40),
        ("out of order over one after the other", "times", free / ordered,
         round(_OUT_OF_ORDER / _IN_ORDER, 2), 0.25),
    ]
    return [Row(_SOURCE, what, unit, ours, reference, Basis.HELD_OUT, band)
            for what, unit, ours, reference, band in compared]


def _tasks(soc: Soc, placement: LayerPlacement) -> list[Task]:
    return prefill_tasks(soc, _SHAPE, _PROMPT // _CHUNK, _CHUNK, placement)


def _one_by_one(tasks: list[Task]) -> list[Task]:
    """Each task after the one before it, too."""
    return [tasks[0]] + [
        dataclasses.replace(task, after=tuple(dict.fromkeys((*task.after, before.name))))
        for before, task in itertools.pairwise(tasks)
    ]


def _rate(soc: Soc, tasks: list[Task]) -> float:
    """Tokens of the prompt per second."""
    return _PROMPT / simulate(soc_system(soc), tasks).makespan
