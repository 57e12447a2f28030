"""What a device will do with a model: time to first token, tokens per second, joules per token.

``estimate`` is the one function to call. Everything in its result is a ``Range``: the nominal value,
and the values with all constants at their best and at their worst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import EstimateError
from .cycles import CycleModel
from .device import Device
from .energy import PARTS, Energy, step_energy
from .hardware import Hardware
from .latency import Machine, OperatorTime, Wait
from .quantity import Corner, Range
from .shapes import ModelShape
from .workload import Operator, Workload, model_bytes, step

__all__ = ["ContextPoint", "Estimate", "OperatorCost", "Phase", "estimate"]

_CURVE_POINTS = 32


@dataclass(frozen=True)
class OperatorCost:
    """One operator of a step: its counts, and its seconds over all layers.

    ``start``, ``compute`` and ``memory`` are nominal, ``time`` has a range; ``cycles`` are the
    engine's per token of a ternary matmul, ``measured`` if they come from RTL simulation.
    """

    operator: Operator
    bytes: int
    start: float
    compute: float
    memory: float
    time: Range
    waits_for: Wait
    cycles: int | None
    measured: bool


@dataclass(frozen=True)
class Phase:
    """Prefill, or the mean decode step: its operators, seconds, joules, and how busy it keeps both.

    ``host`` is the processor's time, included in ``time``. ``bandwidth_used`` and ``engine_used``
    are nominal fractions of the DRAM's peak and of the engine's full rate.
    """

    tokens: int
    context: int
    operators: tuple[OperatorCost, ...]
    host: Range
    time: Range
    energy: dict[str, Range]
    dram_bytes: int
    bandwidth_used: float
    engine_used: float

    @property
    def joules(self) -> Range:
        """Joules of the phase in all."""
        return self.energy["total"]


@dataclass(frozen=True)
class ContextPoint:
    """Decode rate with ``context`` positions in the cache."""

    context: int
    rate: Range


@dataclass(frozen=True)
class Estimate:
    """Everything that is reported about one model on one accelerator and device.

    ``first_token`` [s]; ``rate`` [token/s], ``per_token`` [s] and ``decode_joules`` [J/token]: means
    over the tokens after the first, as the context grows; ``request_joules`` [J]: prompt and all
    tokens. ``decode`` is the step at the middle of the generation, as an example of the mean.
    """

    model: ModelShape
    device: Device
    hardware: Hardware
    cycles: CycleModel
    prompt: int
    tokens: int
    first_token: Range
    rate: Range
    per_token: Range
    decode_joules: Range
    request_joules: Range
    power: Range
    weight_bytes: int
    kv_bytes_per_position: int
    prefill: Phase
    decode: Phase
    curve: tuple[ContextPoint, ...]


def estimate(
    model: ModelShape, device: Device, hardware: Hardware, prompt: int = 128, tokens: int = 128,
    cycles: Mapping[tuple[int, int], int] | None = None,
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
    model_of_cycles = CycleModel(hardware.tlmm, dict(cycles or {}))
    machines = {
        corner: Machine(device, hardware, model_of_cycles, corner) for corner in Corner
    }
    layout = hardware.layout(config, 1)
    decoding = [step(config, layout, 1, prompt + index) for index in range(tokens - 1)]
    prefill = step(config, hardware.layout(config, prompt), prompt)
    first = {corner: machine.step_time(prefill) for corner, machine in machines.items()}
    per_token = {
        corner: sum(map(machine.step_time, decoding)) / len(decoding)
        for corner, machine in machines.items()
    }
    prefill_energy = {corner: step_energy(machine, prefill) for corner, machine in machines.items()}
    decode_energy = {
        corner: _mean([step_energy(machine, workload) for workload in decoding])
        for corner, machine in machines.items()
    }
    request = {
        corner: prefill_energy[corner].total + decode_energy[corner].total * len(decoding)
        for corner in Corner
    }
    joules = {corner: energy.total for corner, energy in decode_energy.items()}
    return Estimate(
        model=model, device=device, hardware=hardware, cycles=model_of_cycles,
        prompt=prompt, tokens=tokens,
        first_token=Range.of(first),
        rate=Range.of({corner: 1 / seconds for corner, seconds in per_token.items()}),
        per_token=Range.of(per_token),
        decode_joules=Range.of(joules),
        request_joules=Range.of(request),
        power=Range.of({corner: joules[corner] / per_token[corner] for corner in Corner}),
        weight_bytes=model_bytes(config, layout),
        kv_bytes_per_position=2 * config.num_layers * layout.kv_bytes(config, 1),
        prefill=_phase(machines, prefill, prefill_energy),
        decode=_phase(machines, decoding[len(decoding) // 2], decode_energy),
        curve=_curve(machines, model),
    )


def _check(
    model: ModelShape, device: Device, hardware: Hardware, prompt: int, tokens: int
) -> None:
    """Refuse what cannot be estimated, saying what would be right."""
    config = model.config
    if prompt < 1 or tokens < 2:
        raise EstimateError(
            f"The prompt must have at least 1 token and 2 must be generated (the first comes from "
            f"the prefill), not {prompt} and {tokens}"
        )
    if prompt + tokens > config.max_position_embeddings:
        raise EstimateError(
            f"{model.name} holds {config.max_position_embeddings} positions: a prompt of {prompt} "
            f"and {tokens} tokens do not fit"
        )
    for budget in hardware.budget(device):
        if budget.used > budget.available:
            raise EstimateError(
                f"{hardware.name} needs {budget.used} {budget.resource}; "
                f"{device.name} has {budget.available}"
            )
    layout = hardware.layout(config, 1)
    cache = 2 * config.num_layers * layout.kv_bytes(config, prompt + tokens)
    needed, capacity = model_bytes(config, layout) + cache, device.dram.capacity.count
    if needed > capacity:
        raise EstimateError(
            f"{model.name} needs {needed / 1e9:.2f} GB for weights and cache; the memory of "
            f"{device.name} holds {capacity / 1e9:.2f} GB"
        )


def _mean(energies: list[Energy]) -> Energy:
    """The mean of several steps' energies."""
    total = Energy(0.0, 0.0, 0.0, 0.0)
    for energy in energies:
        total += energy
    return total.scaled(1 / len(energies))


def _phase(
    machines: Mapping[Corner, Machine], workload: Workload, energies: Mapping[Corner, Energy]
) -> Phase:
    """A step as the report shows it, with energies that may be means over several."""
    nominal = machines[Corner.NOMINAL]
    seconds = Range.of({corner: machine.step_time(workload) for corner, machine in machines.items()})
    dram_bytes = nominal.step_bytes(workload)
    ternary = sum(op.count * op.macs for op in workload.operators if op.unit == "tlmm")
    full_rate = nominal.hardware.tlmm.macs_per_cycle * nominal.frequency
    return Phase(
        tokens=workload.tokens,
        context=workload.past + workload.tokens,
        operators=tuple(_operator(machines, operator) for operator in workload.operators),
        host=Range.of({corner: machine.host_time for corner, machine in machines.items()}),
        time=seconds,
        energy={
            part: Range.of({corner: getattr(energies[corner], part) for corner in Corner})
            for part in (*PARTS, "total")
        },
        dram_bytes=dram_bytes,
        bandwidth_used=dram_bytes / seconds.nominal / (nominal.device.dram.peak.nominal * 1e9),
        engine_used=ternary / seconds.nominal / full_rate,
    )


def _operator(machines: Mapping[Corner, Machine], operator: Operator) -> OperatorCost:
    """One operator's seconds over all layers."""
    nominal = machines[Corner.NOMINAL]
    times: dict[Corner, OperatorTime] = {
        corner: machine.time(operator) for corner, machine in machines.items()
    }
    parts = times[Corner.NOMINAL]
    engine = operator.unit == "tlmm"
    return OperatorCost(
        operator=operator,
        bytes=nominal.bytes(operator) * operator.count,
        start=parts.start * operator.count,
        compute=parts.compute * operator.count,
        memory=parts.memory * operator.count,
        time=Range.of({corner: t.total * operator.count for corner, t in times.items()}),
        waits_for=parts.waits_for,
        cycles=nominal.matmul_cycles(operator) if engine else None,
        measured=engine and nominal.is_measured(operator),
    )


def _curve(machines: Mapping[Corner, Machine], model: ModelShape) -> tuple[ContextPoint, ...]:
    """Decode rate from an empty cache to the longest context of the model."""
    layout = machines[Corner.NOMINAL].hardware.layout(model.config, 1)
    longest = model.config.max_position_embeddings - 1
    contexts = sorted({round(longest * index / _CURVE_POINTS) for index in range(_CURVE_POINTS + 1)})
    points = []
    for context in contexts:
        workload = step(model.config, layout, 1, context)
        rates = {corner: 1 / machine.step_time(workload) for corner, machine in machines.items()}
        points.append(ContextPoint(context, Range.of(rates)))
    return tuple(points)
