"""A step of the accelerator as tasks of the event-driven simulator, layer by layer.

The operators follow each other, so the timeline ends when ``Machine.step_time`` says; it shows
where that time and those joules go.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...model import ModelConfig
from ..events import Channel, Kind, System, Task, Timeline, Unit, simulate
from .energy import work_energy
from .latency import Machine
from .workload import Operator, Workload

__all__ = ["step_timeline"]

_DRAM = "DRAM"
_HOST = "host"
_ATTENTION = ("attention_scores", "softmax", "attention_values")   # apart for each window
_UNITS = {"tlmm": Kind.MATMUL, "integer": Kind.ATTENTION, "vector": Kind.VECTOR, _HOST: Kind.CPU}


def step_timeline(machine: Machine, config: ModelConfig, workload: Workload) -> Timeline:
    """Run the operators of one step, then the processor's part for the token it yields."""
    tasks: list[Task] = []
    for index, (label, operator) in enumerate(_in_order(config, workload)):
        tasks.append(_task(machine, operator, f"{index:05} {label}", label, _last(tasks)))
    tasks.append(Task("token", _HOST, compute=machine.host_time, after=_last(tasks)))
    return simulate(_system(machine), tasks)


def _system(machine: Machine) -> System:
    """The accelerator's units on the device's memory."""
    dram = Channel(
        _DRAM, Kind.DRAM, machine.bandwidth,
        energy=8e-12 * machine.device.dram.energy.cost(machine.corner),
    )
    watts = work_energy(machine, seconds=1.0, dram_bytes=0, ternary_macs=0).standing
    return System.of([Unit(name, kind) for name, kind in _UNITS.items()], [dram], idle=watts)


def _in_order(config: ModelConfig, workload: Workload) -> Iterator[tuple[str, Operator]]:
    """Every run of every operator with its label, as a forward pass makes them."""
    for operator in workload.before:
        yield operator.name, operator
    for layer in range(config.num_layers):
        window = config.window(layer)
        suffix = "" if window is None else f"_{window}"
        for operator in workload.layer:
            if not operator.name.startswith(_ATTENTION) or operator.name in {
                name + suffix for name in _ATTENTION
            }:
                yield f"layer {layer} {operator.name}", operator
    for operator in workload.after:
        yield operator.name, operator


def _task(
    machine: Machine, operator: Operator, name: str, label: str, after: tuple[str, ...]
) -> Task:
    """One operator: what does not overlap passes before its work, as in ``Machine.time``."""
    parts = machine.time(operator)
    ternary = operator.macs if operator.unit == "tlmm" else 0
    arithmetic = work_energy(
        machine, 0.0, 0, ternary, operator.macs - ternary, operator.operations
    )
    return Task(
        name, operator.unit, parts.compute, {_DRAM: machine.bytes(operator)}, after,
        start=parts.total - max(parts.compute, parts.memory), joules=arithmetic.total, label=label,
    )


def _last(tasks: list[Task]) -> tuple[str, ...]:
    """The name of the last task, if there is one."""
    return tuple(task.name for task in tasks[-1:])
