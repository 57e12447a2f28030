"""What a device will do with a model, by formulas: time to first token, tokens/s, joules/token.

``estimate`` is the one function to call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from ...errors import EstimateError
from ..descriptions.device import Device
from ..descriptions.formula_accelerator import FormulaAccelerator
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape
from ..events import Timeline
from .assembly import assemble_estimate
from .cost_model import StepCosts
from .cycles import CycleModel
from .energy import Energy, step_energy
from .latency import Machine
from .phase_results import OperatorCost
from .phases import step_timeline
from .results import Estimate
from .workload import Operator, Workload, model_bytes, step

__all__ = ["FormulaCosts", "check_lengths", "check_memory", "estimate"]

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
    return assemble_estimate(FormulaCosts(model, device, hardware, prompt, tokens, cycles))


class FormulaCosts:
    """``AcceleratorCosts`` by formulas; arguments and errors of ``estimate``."""

    def __init__(
        self, model: ModelShape, device: Device, hardware: FormulaAccelerator, prompt: int,
        tokens: int, cycles: Mapping[tuple[int, int], int] | None = None,
    ) -> None:
        _check(model, device, hardware, prompt, tokens)
        config = self.config = model.config
        self.model, self.device, self.hardware = model, device, hardware
        self.prompt, self.tokens = prompt, tokens
        self.cycles = CycleModel(hardware.tlmm.parameters(), dict(cycles or {}))
        self.supplies = {corner: Machine(device, hardware, self.cycles, corner)
                         for corner in Corner}
        self.layout = layout = hardware.layout(config, 1)
        self.weight_bytes = model_bytes(config, layout)
        self.kv_bytes_per_position = 2 * config.num_layers * layout.kv_bytes(config, 1)
        longest = config.max_position_embeddings - 1
        self.contexts = sorted(
            {longest * index // _CURVE_POINTS for index in range(_CURVE_POINTS + 1)})
        self._prompt = step(config, hardware.layout(config, prompt), prompt)
        self._steps = [step(config, layout, 1, prompt + index) for index in range(tokens - 1)]
        self._seconds = {corner: _mean_time(machine, self._steps)
                         for corner, machine in self.supplies.items()}

    def first_token(self, corner: Corner) -> float:
        """Seconds of the prompt, until the first token is there."""
        return self.supplies[corner].step_time(self._prompt)

    def per_token(self, corner: Corner) -> float:
        """Mean seconds of a token after the first one."""
        return self._seconds[corner]

    def token_energy(self, corner: Corner) -> Energy:
        """Mean joules of a token after the first one."""
        return _mean_energy(self.supplies[corner], self._steps)

    def decode_seconds(self, context: int, corner: Corner) -> float:
        """Seconds of a decode step with ``context`` positions in the cache."""
        return self.supplies[corner].step_time(step(self.config, self.layout, 1, context))

    def host_time(self, corner: Corner) -> float:
        """Seconds that the processor takes for each generated token."""
        return self.supplies[corner].host_time

    @property
    def engine_rate(self) -> float:
        """Ternary multiply-accumulates per second of an engine that never waits, nominal."""
        nominal = self.supplies[Corner.NOMINAL]
        return nominal.cycles.parameters.macs_per_cycle * nominal.frequency

    @cached_property
    def prefill(self) -> StepCosts:
        """The step of the prompt."""
        return self._step(self._prompt)

    @cached_property
    def decode(self) -> StepCosts:
        """The decode step in the middle of the generation."""
        return self._step(self._middle)

    @property
    def _middle(self) -> Workload:
        """The decode step in the middle of the generation."""
        return self._steps[len(self._steps) // 2]

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        nominal = self.supplies[Corner.NOMINAL]
        return {"prefill": step_timeline(nominal, self.config, self._prompt),
                "decode": step_timeline(nominal, self.config, self._middle)}

    def _step(self, workload: Workload) -> StepCosts:
        """A step, at each corner."""
        return StepCosts(
            workload.tokens, workload.past + workload.tokens,
            tuple(self._operator(operator) for operator in workload.operators),
            {corner: machine.step_time(workload) for corner, machine in self.supplies.items()},
            {corner: step_energy(machine, workload) for corner, machine in self.supplies.items()})

    def _operator(self, operator: Operator) -> OperatorCost:
        """One operator's seconds over all layers."""
        nominal = self.supplies[Corner.NOMINAL]
        parts = nominal.time(operator)
        return OperatorCost(
            operator=operator,
            bytes=nominal.bytes(operator) * operator.count,
            start=parts.start * operator.count,
            compute=parts.compute * operator.count,
            memory=parts.memory * operator.count,
            time=Range.at_corners(
                lambda corner: self.supplies[corner].time(operator).total * operator.count),
            waits_for=parts.waits_for,
            cycles=nominal.matmul_cycles(operator) if operator.unit == "tlmm" else None,
            obtained=nominal.obtained(operator),
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
