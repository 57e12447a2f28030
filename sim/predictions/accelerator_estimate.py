"""The estimate of a model on an accelerator in RTL, with the cycles that the model predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.planner import plan_program
from ...hw.attention.attention_parameters import TILE
from ...tools.progress import SILENT, Progress
from ..descriptions.accelerator import AcceleratorDescription
from ..descriptions.device import Device
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape
from ..formulas.energy import PARTS, Energy, Supply
from ..formulas.estimate import check_lengths, check_memory
from ..formulas.published import compare
from ..formulas.results import ContextPoint, Estimate, OperatorCost, Phase, shares
from ..formulas.workload import Operator
from .accelerator_constants import RtlAccelerator, describe, weight_buffer_uram
from .extrapolation import total
from .generation import (
    curve_places,
    decode_places,
    memory_timing,
    predict_generations,
    prefill_steps,
)
from .operator_rows import ATTENTION
from .prediction import PredictedStep, Prediction, activity_energy
from .work import accelerator_operators, operations

__all__ = ["estimate_accelerator"]


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
    check_lengths(model, prompt, tokens)
    parameters = description.whole()
    accelerator = describe(description, model.vocabulary_bits[-1])
    return _Estimator(model, device, accelerator, parameters, prompt, tokens, progress).run()


class _Estimator:
    """The predictions at each corner, and what follows from them."""

    def __init__(self, model: ModelShape, device: Device, accelerator: RtlAccelerator,
                 parameters: AcceleratorParameters, prompt: int, tokens: int,
                 progress: Progress) -> None:
        self.model, self.device, self.accelerator = model, device, accelerator
        self.parameters, self.prompt, self.tokens = parameters, prompt, tokens
        config = self.config = model.config
        longest = min(config.max_position_embeddings, parameters.max_context) - 1
        self.weight_bytes, self.position_bytes = _sizes(model, parameters, prompt + tokens)
        check_memory(model, device, self.weight_bytes + self.position_bytes * (prompt + tokens))
        self.places, self.contexts = decode_places(prompt, tokens), curve_places(longest)
        self.timings = {corner: memory_timing(device, accelerator, corner) for corner in Corner}
        found = predict_generations(config, parameters, self.timings.values(), prompt,
                                    {*self.places, *self.contexts}, progress,
                                    model.vocabulary_bits)
        self.generations = {corner: found[timing] for corner, timing in self.timings.items()}
        uram = weight_buffer_uram(device, parameters.tlmm, parameters.weight_beats)
        self.supplies = {corner: Supply(device, uram, corner) for corner in Corner}

    def run(self) -> Estimate:
        """Everything that is reported."""
        prefill = {corner: one.prefill for corner, one in self.generations.items()}
        decode = {corner: np.mean([one.decode[place] for place in self.places], axis=0)
                  for corner, one in self.generations.items()}
        work = sum(operations(self.config, 1, place) for place in self.places) / len(self.places)
        at_prefill = self.energies(prefill, operations(self.config, self.prompt, 0))
        at_decode = self.energies(decode, work)
        seconds = {corner: self.seconds(corner, total(counts)) for corner, counts in decode.items()}
        middle = self.places[len(self.places) // 2]
        nominal, parameters = self.generations[Corner.NOMINAL], self.parameters
        prediction = Prediction(
            self.config, parameters, self.accelerator, self.timings[Corner.NOMINAL],
            prefill_steps(nominal, self.prompt, parameters.max_tokens),
            PredictedStep(1, middle, nominal.decode[middle]))
        return Estimate(
            model=self.model, device=self.device, hardware=self.accelerator, cycles=prediction,
            prompt=self.prompt, tokens=self.tokens,
            first_token=Range.at_corners(
                lambda corner: self.seconds(corner, total(prefill[corner]))),
            rate=Range.at_corners(lambda corner: 1 / seconds[corner]),
            per_token=Range.at_corners(seconds.__getitem__),
            decode_joules=Range.at_corners(lambda corner: at_decode[corner].total),
            request_joules=Range.at_corners(
                lambda corner: at_prefill[corner].total
                + (self.tokens - 1) * at_decode[corner].total),
            power=Range.at_corners(
                lambda corner: at_decode[corner].standing / seconds[corner]
                + at_decode[corner].working / seconds[corner.opposite]),
            weight_bytes=self.weight_bytes, kv_bytes_per_position=self.position_bytes,
            prefill=self.phase(prediction, prediction.prefill, prefill, self.prompt),
            decode=self.phase(
                prediction, [prediction.decode],
                {corner: one.decode[middle] for corner, one in self.generations.items()},
                middle + 1),
            curve=self.curve(), comparisons=compare(self.supplies, self.model))

    def seconds(self, corner: Corner, cycles: float) -> float:
        """Cycles at the corner's clock."""
        return cycles / (self.accelerator.clock.frequency.rate(corner) * 1e6)

    def energies(self, counts: Mapping[Corner, np.ndarray],
                 work: float) -> dict[Corner, Energy]:
        """Joules of a step, at each corner."""
        return {corner: activity_energy(self.supplies[corner], self.accelerator, counts[corner],
                                        work, self.seconds(corner, total(counts[corner])))
                for corner in Corner}

    def curve(self) -> tuple[ContextPoint, ...]:
        """Decode rates over the context."""
        def rate(corner: Corner, context: int) -> float:
            return 1 / self.seconds(corner, total(self.generations[corner].decode[context]))

        return tuple(ContextPoint(context, Range.at_corners(
            lambda corner, context=context: rate(corner, context))) for context in self.contexts)

    def phase(self, prediction: Prediction, steps: Sequence[PredictedStep],
              counts: Mapping[Corner, np.ndarray], context: int) -> Phase:
        """The prefill, or a decode step, operator by operator."""
        tokens = sum(step.tokens for step in steps)
        operators = accelerator_operators(self.config, self.parameters, tokens, context - tokens,
                                          len(steps), self.model.vocabulary_bits)
        costs = tuple(self.operator(prediction, steps, counts, place, operator)
                      for place, operator in enumerate(operators))
        time = Range.at_corners(lambda corner: self.seconds(corner, total(counts[corner])))
        energies = self.energies(counts, operations(self.config, tokens, context - tokens))
        moved = sum(cost.bytes for cost in costs)
        full_rate = self.accelerator.macs_per_cycle / prediction.cycle
        return Phase(
            tokens=tokens, context=context, operators=costs, host=Range(0.0, 0.0, 0.0), time=time,
            energy={part: Range.at_corners(
                lambda corner, part=part: getattr(energies[corner], part))
                for part in (*PARTS, "total")},
            dram_bytes=moved,
            bandwidth_used=moved / time.nominal / (self.device.dram.peak.nominal * 1e9),
            engine_used=sum(cost.operator.macs * cost.operator.count for cost in costs
                            if cost.operator.unit == "tlmm") / time.nominal / full_rate,
            waits=shares((cost.waits_for, cost.time.nominal) for cost in costs),
            obtained=shares((cost.obtained, cost.time.nominal) for cost in costs))

    def operator(self, prediction: Prediction, steps: Sequence[PredictedStep],
                 counts: Mapping[Corner, np.ndarray], place: int, operator: Operator,
                 ) -> OperatorCost:
        """One operator in all layers and steps."""
        parts = [prediction.parts(operator.name, step.counts[place],
                                  min(operator.tokens, step.tokens), operator.count)
                 for step in steps if step.counts[place].any()]
        sums = {part: sum(getattr(one, part) for one in parts) for part in ("compute", "memory")}
        # Steps may wait for different things, so this is not the sum of what each has left.
        sums["start"] = sum(one.total for one in parts) - max(sums.values())
        row = counts[Corner.NOMINAL][place:place + 1]
        words = total(row, "read_words") + total(row, "write_words")
        return OperatorCost(
            operator=operator, bytes=round(self.accelerator.port.word.count * words), **sums,
            time=Range.at_corners(
                lambda corner: self.seconds(corner, total(counts[corner][place:place + 1]))),
            waits_for=max(sums, key=sums.__getitem__),
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
