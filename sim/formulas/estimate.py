"""What a device will do with a model: time to first token, tokens per second, joules per token.

``estimate`` is the one function to call. Its results are ``Range``s: the nominal value, and the
values with all constants at their best and at their worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import EstimateError
from ..descriptions.device import Device
from ..descriptions.formula_accelerator import FormulaAccelerator
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape
from .cycles import CycleModel
from .energy import PARTS, Energy, step_energy
from .latency import Machine
from .published import compare
from .results import ContextPoint, Estimate, OperatorCost, Phase, shares
from .workload import Operator, Workload, model_bytes, step

__all__ = ["check_lengths", "check_memory", "estimate"]

_CURVE_POINTS = 32


def estimate(
    model: ModelShape, device: Device, hardware: FormulaAccelerator, prompt: int = 128,
    tokens: int = 128, cycles: Mapping[tuple[int, int], int] | None = None,
) -> Estimate:
    """Estimate ``tokens`` tokens after a prompt of ``prompt`` on ``hardware`` built on ``device``.

    ``cycles`` maps [M, K] to the cycles that RTL simulation measured for one token's matmul of that
    shape; other shapes use the engine's formula. The first token comes out of the prefill, so
    ``tokens`` is at least 2.

    Raises
    ------
    EstimateError
        The lengths are out of range for the model, the model does not fit into the device's memory,
        a matrix does not fit the engine, or the buffers do not fit the device.
    """
    config = model.config
    _check(model, device, hardware, prompt, tokens)
    known = CycleModel(hardware.tlmm.parameters(), dict(cycles or {}))
    machines = {corner: Machine(device, hardware, known, corner) for corner in Corner}
    layout = hardware.layout(config, 1)
    prefill = step(config, hardware.layout(config, prompt), prompt)
    decoding = [step(config, layout, 1, prompt + index) for index in range(tokens - 1)]
    seconds = {corner: _mean_time(machine, decoding) for corner, machine in machines.items()}
    at_prefill = {corner: step_energy(machine, prefill) for corner, machine in machines.items()}
    at_decode = {corner: _mean_energy(machine, decoding) for corner, machine in machines.items()}
    return Estimate(
        model=model, device=device, hardware=hardware, cycles=known, prompt=prompt, tokens=tokens,
        first_token=Range.at_corners(lambda corner: machines[corner].step_time(prefill)),
        rate=Range.at_corners(lambda corner: 1 / seconds[corner]),
        per_token=Range.at_corners(lambda corner: seconds[corner]),
        decode_joules=Range.at_corners(lambda corner: at_decode[corner].total),
        request_joules=Range.at_corners(
            lambda corner: at_prefill[corner].total + len(decoding) * at_decode[corner].total
        ),
        power=Range.at_corners(
            lambda corner: at_decode[corner].standing / seconds[corner]
            + at_decode[corner].working / seconds[corner.opposite]
        ),
        weight_bytes=model_bytes(config, layout),
        kv_bytes_per_position=2 * config.num_layers * layout.kv_bytes(config, 1),
        prefill=_phase(machines, prefill),
        decode=_phase(machines, decoding[len(decoding) // 2]),
        curve=_curve(machines, model),
        comparisons=compare(machines, model),
    )


def _mean_time(machine: Machine, steps: Sequence[Workload]) -> float:
    """Mean seconds of several steps."""
    return sum(map(machine.step_time, steps)) / len(steps)


def _mean_energy(machine: Machine, steps: Sequence[Workload]) -> Energy:
    """Mean joules of several steps."""
    total = Energy(0.0, 0.0, 0.0, 0.0)
    for workload in steps:
        total += step_energy(machine, workload)
    return total.scaled(1 / len(steps))


def _check(
    model: ModelShape, device: Device, hardware: FormulaAccelerator, prompt: int, tokens: int
) -> None:
    """Refuse what cannot be estimated, saying what would be right."""
    config = model.config
    check_lengths(model, prompt, tokens)
    for budget in hardware.budget(device):
        if budget.used > budget.available:
            raise EstimateError(
                f"{hardware.name} needs {budget.used} {budget.resource}; "
                f"{device.name} has {budget.available}"
            )
    layout = hardware.layout(config, 1)
    cache = 2 * config.num_layers * layout.kv_bytes(config, prompt + tokens)
    check_memory(model, device, model_bytes(config, layout) + cache)


def check_lengths(model: ModelShape, prompt: int, tokens: int) -> None:
    """Refuse lengths that the model does not hold, or of which no rate can be said."""
    if prompt < 1 or tokens < 2:
        raise EstimateError(
            f"The prompt must have at least 1 token and 2 must be generated (the first comes from "
            f"the prefill), not {prompt} and {tokens}"
        )
    positions = model.config.max_position_embeddings
    if prompt + tokens > positions:
        raise EstimateError(
            f"{model.name} holds {positions} positions: a prompt of {prompt} and {tokens} tokens "
            "do not fit"
        )


def check_memory(model: ModelShape, device: Device, needed: float) -> None:
    """Refuse ``needed`` bytes of weights and cache that the device's memory does not hold."""
    capacity = device.dram.capacity.count
    if needed > capacity:
        raise EstimateError(
            f"{model.name} needs {needed / 1e9:.2f} GB for weights and cache; the memory of "
            f"{device.name} holds {capacity / 1e9:.2f} GB"
        )


def _phase(machines: Mapping[Corner, Machine], workload: Workload) -> Phase:
    """One step, as the report shows it."""
    nominal = machines[Corner.NOMINAL]
    energies = {corner: step_energy(machine, workload) for corner, machine in machines.items()}
    seconds = Range.at_corners(lambda corner: machines[corner].step_time(workload))
    dram_bytes = nominal.step_bytes(workload)
    ternary = sum(op.count * op.macs for op in workload.operators if op.unit == "tlmm")
    full_rate = nominal.cycles.parameters.macs_per_cycle * nominal.frequency
    operators = tuple(_operator(machines, operator) for operator in workload.operators)
    host = nominal.host_time
    return Phase(
        tokens=workload.tokens,
        context=workload.past + workload.tokens,
        operators=operators,
        host=Range.at_corners(lambda corner: machines[corner].host_time),
        time=seconds,
        energy={
            part: Range.at_corners(lambda corner, part=part: getattr(energies[corner], part))
            for part in (*PARTS, "total")
        },
        dram_bytes=dram_bytes,
        bandwidth_used=dram_bytes / seconds.nominal / (nominal.device.dram.peak.nominal * 1e9),
        engine_used=ternary / seconds.nominal / full_rate,
        waits=shares([
            *((cost.waits_for, cost.time.nominal) for cost in operators), ("host", host),
        ]),
        obtained=shares([
            *((cost.obtained, cost.time.nominal) for cost in operators),
            (nominal.hardware.host.token.kind, host),
        ]),
    )


def _operator(machines: Mapping[Corner, Machine], operator: Operator) -> OperatorCost:
    """One operator's seconds over all layers."""
    nominal = machines[Corner.NOMINAL]
    parts = nominal.time(operator)
    return OperatorCost(
        operator=operator,
        bytes=nominal.bytes(operator) * operator.count,
        start=parts.start * operator.count,
        compute=parts.compute * operator.count,
        memory=parts.memory * operator.count,
        time=Range.at_corners(
            lambda corner: machines[corner].time(operator).total * operator.count),
        waits_for=parts.waits_for,
        cycles=nominal.matmul_cycles(operator) if operator.unit == "tlmm" else None,
        obtained=nominal.obtained(operator),
    )


def _curve(machines: Mapping[Corner, Machine], model: ModelShape) -> tuple[ContextPoint, ...]:
    """Decode rate from an empty cache to the longest context of the model."""
    layout = machines[Corner.NOMINAL].hardware.layout(model.config, 1)
    longest = model.config.max_position_embeddings - 1
    points = []
    for context in sorted({longest * index // _CURVE_POINTS for index in range(_CURVE_POINTS + 1)}):
        workload = step(model.config, layout, 1, context)
        seconds = {corner: machine.step_time(workload) for corner, machine in machines.items()}
        rate = Range.of({corner: 1 / value for corner, value in seconds.items()})
        points.append(ContextPoint(context, rate))
    return tuple(points)
