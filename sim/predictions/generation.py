"""A generation on an accelerator, predicted: counters of its steps by operator.

Steps are those that the accelerator does: a prefill of ``step_tokens`` tokens at once, then one
token at a time. Of a long prompt, and of the decode steps, a few places are predicted: what a
step costs grows with the context in a line, but for the last tile of keys.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...fpga.accelerator_parameters import AcceleratorParameters
from ...fpga.planner import plan_program
from ...hw.memory.striped_port import StripedPort
from ...model import ModelConfig
from ...tools.progress import SILENT, Progress
from ..descriptions.ddr_timing import DdrTiming
from ..descriptions.device import Device
from ..descriptions.quantity import Corner
from .accelerator_constants import RtlAccelerator
from .extrapolation import whole_step
from .prediction import PredictedStep

__all__ = ["PredictedGeneration", "curve_places", "decode_places", "memory_timing",
           "predict_generations", "prefill_steps", "step_tokens"]

_FINEST = 32         # a bandwidth is so many thirty-seconds of a word per cycle
_MOST_CHUNKS = 3     # of a prefill that are predicted; the others lie between them

_Step = tuple[int, int, bool]   # tokens, position, whether it chooses a token


@dataclass(frozen=True)
class PredictedGeneration:
    """Counters at one corner: float64 [operators, counters] of every step of the prefill, and of
    decode steps by their position.
    """

    chunks: tuple[np.ndarray, ...]
    decode: Mapping[int, np.ndarray]

    @property
    def prefill(self) -> np.ndarray:
        """The prefill in all."""
        return np.sum(self.chunks, axis=0)


def memory_timing(device: Device, accelerator: RtlAccelerator, corner: Corner) -> DdrTiming:
    """The board's memory, in cycles of the accelerator's clock."""
    clock = accelerator.clock.frequency.rate(corner) * 1e6
    share = device.dram.sustained.rate(corner) * 1e9 / (accelerator.port.word.count * clock)
    words = Fraction(max(1, min(_FINEST, round(share * _FINEST))), _FINEST)
    latency = accelerator.port.latency.cost(corner) * 1e-9 * clock
    striped = StripedPort.latency if accelerator.port.ports.count > 1 else 0
    return DdrTiming(latency=max(2, round(latency) + striped), words=words.numerator,
                     per_cycles=words.denominator)


def decode_places(prompt: int, tokens: int) -> list[int]:
    """Positions of the first, the middle and the last decode step."""
    last = prompt + tokens - 2
    return sorted({prompt, (prompt + last) // 2, last})


def curve_places(longest: int) -> list[int]:
    """Contexts between which the decode rate is drawn."""
    return sorted({0, *(longest // part for part in (32, 16, 8, 4, 2, 1))})


def predict_generations(
    config: ModelConfig, parameters: AcceleratorParameters, timings: Iterable[DdrTiming],
    prompt: int, places: Iterable[int], progress: Progress = SILENT,
    vocabulary_bits: tuple[int, int] = (8, 8),
) -> dict[DdrTiming, PredictedGeneration]:
    """The prefill of ``prompt`` tokens and decode steps at ``places``, for each of the memories.

    ``progress`` is told of each step that is predicted.

    Raises
    ------
    TrilobiteError
        The accelerator cannot run the model, or not so many tokens of it.
    """
    timings, places = list(dict.fromkeys(timings)), list(places)
    room = min(parameters.max_context, config.max_position_embeddings)
    capacity = max(prompt + 1, *(place + 1 for place in places), room)
    chunks = _chunks(prompt, step_tokens(config, parameters))
    steps = [*_predicted(chunks), *((1, place, True) for place in places)]
    jobs = [(timing, step) for timing in timings for step in steps]
    found: dict[tuple[DdrTiming, _Step], np.ndarray] = {}
    # The first one by itself: it compiles, and finds what cannot be run.
    progress.start(len(jobs))
    for job, counts in _in_threads(
            jobs, lambda job: whole_step(config, parameters, job[0], capacity, *job[1],
                                         vocabulary_bits)):
        found[job] = counts
        progress.advance()
    return {timing: PredictedGeneration(
        tuple(_prefill(chunks, {step: found[timing, step] for step in _predicted(chunks)})),
        {place: found[timing, (1, place, True)] for place in places}) for timing in timings}


def step_tokens(config: ModelConfig, parameters: AcceleratorParameters) -> int:
    """Most tokens of a step."""
    return plan_program(config, parameters, 2, 1).step_tokens


def prefill_steps(
    generation: PredictedGeneration, prompt: int, most: int
) -> tuple[PredictedStep, ...]:
    """The steps of the prefill, of ``most`` tokens but for the last one."""
    return tuple(PredictedStep(tokens, position, counts) for (tokens, position, _), counts in zip(
        _chunks(prompt, most), generation.chunks, strict=True))


def _in_threads(jobs: list, work: Callable) -> Iterable[tuple]:
    """Each job with its result, as they come; the model lets go of the interpreter's lock."""
    yield jobs[0], work(jobs[0])
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from zip(jobs[1:], threads.map(work, jobs[1:]), strict=True)


def _chunks(prompt: int, most: int) -> list[_Step]:
    """The steps of a prefill; only the last one chooses a token."""
    return [(min(most, prompt - start), start, start + most >= prompt)
            for start in range(0, prompt, most)]


def _predicted(chunks: list[_Step]) -> list[_Step]:
    """The chunks that are predicted: a few of the whole ones, and the last one."""
    whole, last = chunks[:-1], chunks[-1:]
    if len(whole) > _MOST_CHUNKS:
        places = np.linspace(0, len(whole) - 1, _MOST_CHUNKS).round().astype(int)
        whole = [whole[place] for place in places]
    return [*whole, *last]


def _prefill(chunks: list[_Step], known: Mapping[_Step, np.ndarray]) -> Iterable[np.ndarray]:
    """Counters of every step, those between the known ones on the line between them."""
    whole = [step for step in known if not step[2]]
    starts = [start for _, start, _ in whole]
    for step in chunks:
        if step in known:
            yield known[step]
            continue
        above = next(place for place, start in enumerate(starts) if start > step[1])
        low, high = whole[above - 1], whole[above]
        share = (step[1] - low[1]) / (high[1] - low[1])
        yield (1 - share) * known[low] + share * known[high]
