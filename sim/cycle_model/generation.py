"""A generation on an accelerator: seconds and joules from predicted counters.

Cycles are those of ``predict_step`` for one layer and for two, whose difference is what each
further layer costs, as ``sim.full_size`` does with RTL simulation; and so for rows of the
vocabulary. The memory is a ``DdrTiming`` of the board's sustained bandwidth at the clock. Joules
are activity x energy per event: words over the port, ternary products of the engine's beats, int8
products of attention and head; and power x time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

from ...errors import EstimateError
from ...fpga.counters import COUNTERS
from ...fpga.parameters import AcceleratorParameters
from ...fpga.planner import plan_program
from ...hw.buffer_planner import plan_buffer, weight_beat_width
from ...model import ModelConfig
from ..bench.ddr import DdrTiming
from ..device import Device
from ..energy import PARTS, Energy
from ..quantity import Corner, Range
from ..shapes import ModelShape
from .predict import predict_step

__all__ = ["Generation", "Step", "activity_energy", "memory_timing", "predict_generation",
           "whole_step"]

CLOCK = {Corner.BEST: 250e6, Corner.NOMINAL: 250e6, Corner.WORST: 200e6}   # Hz, assumed: hardware/
_LATENCY = 240e-9    # s, from a read's address to its data: 60 cycles at 250 MHz, assumed
_ROWS = 2048         # of the vocabulary, of which the others' cost is extrapolated
_FINEST = 32         # a bandwidth is so many thirty-seconds of a word per cycle


def memory_timing(device: Device, word_bytes: int, clock: float, corner: Corner) -> DdrTiming:
    """The board's memory, in cycles of ``clock`` [Hz]."""
    share = device.dram.sustained.rate(corner) * 1e9 / (word_bytes * clock)
    words = Fraction(max(1, min(_FINEST, round(share * _FINEST))), _FINEST)
    return DdrTiming(latency=max(2, round(_LATENCY * clock)), words=words.numerator,
                     per_cycles=words.denominator)


def activity_energy(device: Device, parameters: AcceleratorParameters, counts: dict[str, float],
                    seconds: float, corner: Corner) -> Energy:
    """Joules of ``seconds`` in which ``counts``, of RTL or predicted, happened.

    The elementwise units are not counted by any counter: their work is in ``active``.
    """
    power = device.power
    int8_macs = parameters.word_bytes * (
        parameters.queries * counts["attention_words"] + counts["head_words"])
    picojoules = (counts["weight_beats"] * parameters.tlmm.macs_per_cycle
                  * power.ternary_mac.cost(corner) + int8_macs * power.int8_mac.cost(corner))
    moved = parameters.word_bytes * (counts["read_words"] + counts["write_words"])
    static = power.idle.cost(corner) + _urams(device, parameters) * power.uram_rest.cost(
        corner) * 1e-3
    return Energy(static=static * seconds, active=power.active.cost(corner) * seconds,
                  compute=picojoules * 1e-12,
                  dram=8 * moved * device.dram.energy.cost(corner) * 1e-12)


def _urams(device: Device, parameters: AcceleratorParameters) -> int:
    """URAM blocks of the weight buffer; 0 on a device that has none."""
    if not device.fabric.uram.count:
        return 0
    plan = plan_buffer(weight_beat_width(parameters.tlmm), parameters.weight_beats,
                       {"uram": 1 << 16})
    return plan.blocks


@dataclass(frozen=True)
class Step:
    """What a prefill, or a decode step, costs: nominal counters, seconds and joules."""

    counts: dict[str, float]
    time: Range
    energy: dict[str, Range]

    def to_json(self) -> dict[str, Any]:
        """With units."""
        return {"counts": self.counts, "time": self.time.to_json("s"),
                "energy": {part: joules.to_json("J") for part, joules in self.energy.items()}}


@dataclass(frozen=True)
class Generation:
    """A prompt and ``tokens`` tokens of a model on an accelerator.

    ``decode`` is the mean of the steps after the first token.
    """

    model: str
    accelerator: str
    device: str
    prompt: int
    tokens: int
    prefill: Step
    decode: Step

    @cached_property
    def rate(self) -> Range:
        """Tokens per second after the first."""
        time = self.decode.time
        return Range(1 / time.high, 1 / time.nominal, 1 / time.low)

    def to_json(self) -> dict[str, Any]:
        """With units; the keys are in docs/commands.md."""
        return {
            "model": self.model, "accelerator": self.accelerator, "device": self.device,
            "prompt": self.prompt, "tokens": self.tokens,
            "first_token": self.prefill.time.to_json("s"), "rate": self.rate.to_json("token/s"),
            "decode_energy": self.decode.energy["total"].to_json("J/token"),
            "prefill": self.prefill.to_json(), "decode": self.decode.to_json(),
        }


def predict_generation(model: ModelShape, device: Device, name: str,
                       parameters: AcceleratorParameters, prompt: int, tokens: int,
                       progress: Callable[[float], None] = lambda share: None) -> Generation:
    """Predict what the accelerator ``name``, of ``parameters``, does on ``device``.

    ``progress`` is called with the share that is done, 0 to 1.

    Raises
    ------
    TrilobiteError
        The accelerator cannot run the model, or not so many tokens of it.
    """
    if prompt < 1 or tokens < 2:
        raise EstimateError(f"A prompt of {prompt} and {tokens} tokens cannot be estimated: it "
                            "takes at least 1 and 2")
    config = model.config
    most = parameters.max_tokens
    prefills = [(min(most, prompt - start), start, start + most >= prompt)
                for start in range(0, prompt, most)]
    # The cost of a decode step grows with the context in steps of a tile: a mean of three places.
    last = prompt + tokens - 2
    places = sorted({prompt, (prompt + last) // 2, last})
    steps = [*prefills, *((1, place, True) for place in places)]
    by_corner = {}
    for number, corner in enumerate(Corner):
        timing = memory_timing(device, parameters.word_bytes, CLOCK[corner], corner)
        counted = []
        for step in steps:
            counted.append(whole_step(config, parameters, timing, prompt + tokens, *step))
            progress((number + len(counted) / len(steps)) / len(Corner))
        by_corner[corner] = _prefill_and_decode(counted, len(prefills))
    return Generation(
        model.name, name, device.name, prompt, tokens,
        *(_step(device, parameters, {corner: counts[number]
                                     for corner, counts in by_corner.items()})
          for number in range(2)))


def _prefill_and_decode(
    steps: list[dict[str, float]], prefills: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Counters of the prefill, in so many of the ``steps``, and of the mean decode step."""
    prefill, decode = steps[:prefills], steps[prefills:]
    return ({name: sum(counts[name] for counts in prefill) for name in COUNTERS},
            {name: sum(counts[name] for counts in decode) / len(decode) for name in COUNTERS})


@cache   # corners often share a timing
def whole_step(config: ModelConfig, parameters: AcceleratorParameters, timing: DdrTiming,
           capacity: int, tokens: int, position: int, chooses: bool) -> dict[str, float]:
    """Counters of a step of the whole model, from predictions of a small part of it.

    One layer and some rows of the vocabulary, and what another layer and as many rows cost.
    """
    def predict(layers: int, rows: int) -> dict[str, int]:
        program = plan_program(replace(config, vocab_size=rows), parameters, capacity, layers)
        return predict_step(program, timing, tokens, position, chooses)

    rows = min(_ROWS, config.vocab_size // 2)
    start = predict(1, rows)
    layer = predict(2, rows) if config.num_layers > 1 else start
    more = predict(1, 2 * rows) if chooses else start
    scale = config.vocab_size / rows - 1
    return {name: start[name] + (config.num_layers - 1) * (layer[name] - start[name])
            + scale * (more[name] - start[name]) for name in COUNTERS}


def _step(device: Device, parameters: AcceleratorParameters,
          counts: dict[Corner, dict[str, float]]) -> Step:
    seconds = {corner: counts[corner]["cycles"] / CLOCK[corner] for corner in Corner}
    energies = {corner: activity_energy(device, parameters, counts[corner], seconds[corner], corner)
                for corner in Corner}

    def ranged(value: Callable[[Corner], float]) -> Range:
        return Range.of({corner: value(corner) for corner in Corner})

    parts = {part: ranged(lambda corner, part=part: asdict(energies[corner])[part])
             for part in PARTS}
    parts["total"] = ranged(lambda corner: energies[corner].total)
    return Step(counts[Corner.NOMINAL], ranged(seconds.__getitem__), parts)
