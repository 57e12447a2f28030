"""Designs that the search found, as whole accelerators: predicted, and simulated in RTL.

The search goes by formulas. Here a design becomes the parameters of an accelerator, and the cycle
model predicts its prefill and its decode steps; and the RTL of that very accelerator runs a small
model, whose cycles the cycle model also predicts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from ...errors import TrilobiteError
from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.planner import plan_program
from ...hw import TlmmParameters
from ...hw.weights.buffer_planner import BLOCKS, weight_beat_width
from ..cycle_model.predict import predict_step
from ..descriptions.accelerator import AcceleratorDescription, load_accelerator
from ..descriptions.ddr_timing import DdrTiming
from ..descriptions.device import Device
from ..descriptions.quantity import Corner
from ..descriptions.shapes import ModelShape
from ..predictions.accelerator_constants import rtl_accelerator
from ..predictions.extrapolation import total
from ..predictions.generation import decode_places, memory_timing, predict_generations
from ..verify.cycles.cases import MODELS, CaseStep, SimulatedAccelerator
from ..verify.cycles.measure import count_steps
from .engines import TlmmEngines, kind_of
from .search import Found

__all__ = ["Counted", "Whole", "accelerator_of", "check_accelerator", "predict_whole",
           "whole_json"]

_BASE = "kv260"          # what a design says nothing about is as in this configuration
_MODEL = "bitnet-128"    # the small model that the RTL runs
_STEPS = (CaseStep(1, 40), CaseStep(9, 0))
_CAPACITY = 64
_TIMING = DdrTiming(latency=60)


@dataclass(frozen=True)
class Whole:
    """Seconds to the first token, and tokens per second, of a whole accelerator, predicted."""

    first_token: float
    tokens_per_second: float

    def errors(self, found: Found) -> dict[str, float]:
        """How far the search's formulas are from it, relative and signed."""
        return {"first_token": found.first_token / self.first_token - 1,
                "tokens_per_second": found.tokens_per_second / self.tokens_per_second - 1}


@dataclass(frozen=True)
class Counted:
    """Cycles of steps of a small model: counted in RTL simulation, and predicted."""

    counted: tuple[int, ...]
    predicted: tuple[int, ...]

    @property
    def worst_error(self) -> float:
        """The largest relative error of the cycle model."""
        return max(abs(predicted / counted - 1)
                   for counted, predicted in zip(self.counted, self.predicted, strict=True))

    def to_json(self) -> dict[str, Any]:
        """The fields, and ``worst_error``."""
        return {**asdict(self), "worst_error": self.worst_error}


def accelerator_of(found: Found) -> AcceleratorParameters:
    """The accelerator that a design describes, with int8 keys and values, as RTL has them.

    Raises
    ------
    TrilobiteError
        There is none in RTL: of another engine than table lookup, or without a weight buffer.
    """
    design, base = found.design, load_accelerator(_BASE).whole()
    if kind_of(found.engine) is not TlmmEngines:
        raise TrilobiteError("there is no accelerator around the INT4 x FP8 array yet")
    engine = cast(TlmmParameters, found.engine)
    block = BLOCKS["uram"]
    banks = -(-weight_beat_width(engine) // block.width)
    beats = design.urams // banks * block.depth
    if not beats:
        raise TrilobiteError(f"{design.urams} URAM hold no weight buffer, which takes {banks} side "
                             "by side, and RTL has no accelerator without one")
    chunk = _chunk(design.policy)
    engine = replace(engine, max_k=base.tlmm.max_k, max_m=base.tlmm.max_m)
    activations = base.activation_beats * base.tlmm.pass_length // engine.pass_length
    return replace(
        base, tlmm=engine, lanes=design.lanes, queries=design.queries, weight_beats=beats,
        activation_beats=activations,
        max_tokens=min(base.max_tokens, chunk) if chunk else base.max_tokens)


def _chunk(policy: str) -> int | None:
    """Tokens of a chunk; None where the policy cuts the prompt into none."""
    name, _, size = policy.partition("-")
    return int(size) if name == "chunked" else None


def predict_whole(found: Found, model: ModelShape, device: Device, prompt: int,
                  tokens: int) -> Whole:
    """Predict the prefill and the mean decode step of a design.

    Raises
    ------
    TrilobiteError
        See ``accelerator_of``; or the accelerator cannot run the model.
    """
    parameters = accelerator_of(found)
    described = rtl_accelerator(AcceleratorDescription.of("explored", parameters),
                         model.vocabulary_bits[-1])
    mhz = replace(described.clock.frequency, low=found.design.mhz, nominal=found.design.mhz,
                  high=found.design.mhz)
    described = replace(described, clock=replace(described.clock, frequency=mhz))
    timing = memory_timing(device, described, Corner.NOMINAL)
    places = decode_places(prompt, tokens)
    generation = predict_generations(model.config, parameters, [timing], prompt, places,
                                     vocabulary_bits=model.vocabulary_bits)[timing]
    decode = sum(total(generation.decode[place]) for place in places) / len(places)
    hertz = found.design.mhz * 1e6
    return Whole(total(generation.prefill) / hertz, hertz / decode)


def check_accelerator(parameters: AcceleratorParameters, _: None = None) -> Counted:
    """Simulate the accelerator with a small model, or read what an earlier simulation gave.

    Raises
    ------
    ToolError
        A tool is missing, the simulation failed, or a run reported an error.
    """
    hardware = SimulatedAccelerator(parameters, _TIMING, held_out=True)
    counts = count_steps(hardware, _MODEL, _STEPS, _CAPACITY)
    program = plan_program(MODELS[_MODEL], parameters, _CAPACITY)
    predicted = [predict_step(program, _TIMING, step.tokens, step.position, step.chooses,
                              one["started"]) for step, one in zip(_STEPS, counts, strict=True)]
    return Counted(tuple(one["cycles"] for one in counts),
                   tuple(one["cycles"] for one in predicted))


def whole_json(found: Found, whole: Whole | str, counted: Counted | None) -> dict[str, Any]:
    """A design with what was predicted of it, or why nothing was, and what its RTL counted."""
    said: dict[str, Any] = {"reason": whole} if isinstance(whole, str) else {
        "predicted": asdict(whole), "errors": whole.errors(found)}
    return {**found.to_json(), **said, "rtl": counted.to_json() if counted else None}
