"""The estimate of a model on an accelerator in RTL, with the cycles that the model predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.planner import plan_program
from ...hw.attention.attention_parameters import TILE
from ...tools.progress import SILENT, Progress
from ..descriptions.accelerator import AcceleratorDescription
from ..descriptions.device import Device
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape
from ..events import Timeline
from ..formulas.assembly import assemble_estimate
from ..formulas.cost_model import StepCosts
from ..formulas.energy import Energy, Supply
from ..formulas.estimate import check_lengths, check_memory
from ..formulas.latency import Wait
from ..formulas.phase_results import OperatorCost
from ..formulas.results import Estimate
from ..formulas.workload import Operator
from .accelerator_constants import rtl_accelerator, weight_buffer_uram
from .extrapolation import total
from .generation import (
    curve_places,
    decode_places,
    memory_timing,
    predict_generations,
    prefill_steps,
    step_tokens,
)
from .operator_rows import ATTENTION
from .prediction import PredictedStep, Prediction, activity_energy
from .step_timeline import predicted_timelines
from .work import accelerator_operators, operations

__all__ = ["PredictedCosts", "estimate_accelerator"]


def estimate_accelerator(
    model: ModelShape, device: Device, description: AcceleratorDescription, prompt: int = 128,
    tokens: int = 128, progress: Progress = SILENT,
) -> Estimate:
    """Estimate ``tokens`` tokens after a prompt of ``prompt`` on an accelerator in RTL.

    ``progress`` is told of each step that is predicted.

    Raises
    ------
    TrilobiteError
        There is no whole accelerator, it cannot run the model, the lengths are out of range, or the
        device's memory is too small.
    """
    return assemble_estimate(PredictedCosts(model, device, description, prompt, tokens, progress))


class PredictedCosts:
    """``AcceleratorCosts`` by the cycle model; arguments and errors of ``estimate_accelerator``.

    All steps that anything is asked of are predicted by the constructor.
    """

    def __init__(self, model: ModelShape, device: Device, description: AcceleratorDescription,
                 prompt: int, tokens: int, progress: Progress = SILENT) -> None:
        check_lengths(model, prompt, tokens)
        self.model, self.device, self.prompt, self.tokens = model, device, prompt, tokens
        parameters = self.parameters = description.whole()
        self.hardware = rtl_accelerator(description, model.vocabulary_bits[-1])
        config = self.config = model.config
        self.weight_bytes, self.kv_bytes_per_position = _sizes(model, parameters, prompt + tokens)
        check_memory(model, device,
                     self.weight_bytes + self.kv_bytes_per_position * (prompt + tokens))
        longest = min(config.max_position_embeddings, parameters.max_context) - 1
        self._places, self.contexts = decode_places(prompt, tokens), curve_places(longest)
        timings = {corner: memory_timing(device, self.hardware, corner) for corner in Corner}
        found = predict_generations(config, parameters, timings.values(), prompt,
                                    {*self._places, *self.contexts}, progress,
                                    model.vocabulary_bits)
        self._generations = {corner: found[timing] for corner, timing in timings.items()}
        self._prompt = {corner: one.prefill for corner, one in self._generations.items()}
        self._mean = {corner: np.mean([one.decode[place] for place in self._places], axis=0)
                      for corner, one in self._generations.items()}
        uram = weight_buffer_uram(device, parameters.tlmm, parameters.weight_beats)
        self.supplies = {corner: Supply(device, uram, corner) for corner in Corner}
        nominal, middle = self._generations[Corner.NOMINAL], self._places[len(self._places) // 2]
        self.cycles = Prediction(
            config, parameters, self.hardware, timings[Corner.NOMINAL],
            prefill_steps(nominal, prompt, step_tokens(config, parameters)),
            PredictedStep(1, middle, nominal.decode[middle]))

    def first_token(self, corner: Corner) -> float:
        """Seconds of the prompt, until the first token is there."""
        return self._seconds(corner, total(self._prompt[corner]))

    def per_token(self, corner: Corner) -> float:
        """Mean seconds of a token after the first one."""
        return self._seconds(corner, total(self._mean[corner]))

    def token_energy(self, corner: Corner) -> Energy:
        """Mean joules of a token after the first one."""
        work = sum(operations(self.config, 1, place) for place in self._places)
        return self._energy(corner, self._mean[corner], work / len(self._places))

    def decode_seconds(self, context: int, corner: Corner) -> float:
        """Seconds of a decode step with ``context`` positions in the cache, of ``contexts``."""
        return self._seconds(corner, total(self._generations[corner].decode[context]))

    def host_time(self, corner: Corner) -> float:
        """Seconds that a processor takes for each generated token."""
        return self.hardware.host.token.cost(corner) * 1e-3

    @property
    def engine_rate(self) -> float:
        """Ternary multiply-accumulates per second of an engine that never waits, nominal."""
        return self.hardware.macs_per_cycle / self.cycles.cycle

    @cached_property
    def prefill(self) -> StepCosts:
        """The step of the prompt."""
        return self._step(self.cycles.prefill, self._prompt, self.prompt)

    @cached_property
    def decode(self) -> StepCosts:
        """The decode step in the middle of the generation."""
        step = self.cycles.decode
        return self._step(
            [step], {corner: one.decode[step.position]
                     for corner, one in self._generations.items()}, step.position + 1)

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        return predicted_timelines(self.cycles, self.supplies[Corner.NOMINAL])

    def _seconds(self, corner: Corner, cycles: float) -> float:
        """Cycles at the corner's clock."""
        return cycles / (self.hardware.clock.frequency.rate(corner) * 1e6)

    def _energy(self, corner: Corner, counts: np.ndarray, work: float) -> Energy:
        """Joules of a step with these counters and so many float operations."""
        return activity_energy(self.supplies[corner], self.hardware, counts, work,
                               self._seconds(corner, total(counts)))

    def _step(self, steps: Sequence[PredictedStep], counts: Mapping[Corner, np.ndarray],
              context: int) -> StepCosts:
        """The prefill, or a decode step, operator by operator."""
        tokens = sum(step.tokens for step in steps)
        operators = accelerator_operators(self.config, self.parameters, tokens, context - tokens,
                                          len(steps), self.model.vocabulary_bits)
        work = operations(self.config, tokens, context - tokens)
        return StepCosts(
            tokens, context, tuple(self._operator(steps, counts, place, operator)
                                   for place, operator in enumerate(operators)),
            {corner: self._seconds(corner, total(one)) for corner, one in counts.items()},
            {corner: self._energy(corner, one, work) for corner, one in counts.items()})

    def _operator(self, steps: Sequence[PredictedStep], counts: Mapping[Corner, np.ndarray],
                  place: int, operator: Operator) -> OperatorCost:
        """One operator in all layers and steps."""
        parts = [self.cycles.parts(operator.name, step.counts[place],
                                   min(operator.tokens, step.tokens), operator.count)
                 for step in steps if step.counts[place].any()]
        compute, memory = sum(one.compute for one in parts), sum(one.memory for one in parts)
        # Steps may wait for different things, so this is not the sum of what each has left.
        start = sum(one.total for one in parts) - max(compute, memory)
        waits: dict[Wait, float] = {"compute": compute, "memory": memory, "start": start}
        row = counts[Corner.NOMINAL][place:place + 1]
        words = total(row, "read_words") + total(row, "write_words")
        return OperatorCost(
            operator=operator, bytes=round(self.hardware.port.word.count * words),
            start=start, compute=compute, memory=memory,
            time=Range.at_corners(
                lambda corner: self._seconds(corner, total(counts[corner][place:place + 1]))),
            waits_for=max(waits, key=waits.__getitem__),
            cycles=round(total(row) / operator.count), obtained="model")


def _sizes(model: ModelShape, parameters: AcceleratorParameters,
           capacity: int) -> tuple[int, int]:
    """Bytes of the weights in memory, and of the cache of one position."""
    config = model.config
    one, two = (plan_program(config, parameters, capacity, layers, model.vocabulary_bits)
                for layers in (1, 2))
    sizes = [sum(region.words for name, region in program.memory.regions.items()
                 if name.startswith("model.") or name in ("vocabulary", "head"))
             for program in (one, two)]
    words = sizes[0] + (config.num_layers - 1) * (sizes[1] - sizes[0])
    attend = next(descriptor for descriptor, origin in zip(
        one.descriptors, one.origins, strict=True) if origin.operator == ATTENTION)
    cache = config.num_layers * attend.heads * attend.tile_words
    return words * parameters.word_bytes, cache * parameters.word_bytes // TILE
