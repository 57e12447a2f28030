"""What a request costs on one processor of a SoC: seconds and joules, operator by operator.

    start   = what passes before a kernel's first result, for every launch
    compute = operations / (peak x the engine's share of it)
    memory  = bytes / (bandwidth that the processor reaches alone x the engine's share of it)
    time    = launches x start + max(compute, memory)

Operators follow one another. The shares, and how far a step may be from that at the corners, are
fitted to published measurements (``shares``). Power is that of the idle board and of the busy
processor by time, and of the DRAM by bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...errors import EstimateError
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape
from ..descriptions.soc import Processor, Rate, Soc
from ..events import Channel, Kind, System, Task, Timeline, Unit, simulate
from ..formulas.cost_model import StepCosts
from ..formulas.energy import Energy
from ..formulas.latency import Wait
from ..formulas.phase_results import OperatorCost
from ..formulas.workload import Operator
from .engines import Engine
from .rates import choose_rate
from .shares import Shares, shares_of
from .stored_format import StoredFormat
from .workload import kv_bytes, step_operators

__all__ = ["ProcessorRequest"]

_DRAM = "DRAM"
_KINDS = {"cpu": Kind.CPU, "gpu": Kind.GPU, "npu": Kind.NPU}
_LONGEST_LOAD = 1440   # minutes
_LONGEST = 8192   # positions up to which the decode rate is drawn


@dataclass(frozen=True)
class ProcessorRequest:
    """``RequestCosts`` of a model in a stored format on a processor, by an engine (None: any).

    ``batch`` sequences run together, each with a prompt of ``prompt`` tokens after ``context`` ones
    that are in its cache; seconds are of a step of all of them. ``minutes``: how long the device
    has been under load.

    Raises
    ------
    EstimateError
        A length is wrong, the model has fewer positions, the processor has no rate for the format,
        nothing is known of the device under ``minutes`` of load, or the memory is too small.
    """

    soc: Soc
    processor: Processor
    model: ModelShape
    stored: StoredFormat
    kv: str
    prompt: int
    tokens: int
    engine: Engine | None = None
    context: int = 0
    batch: int = 1
    minutes: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        if self.prompt < 1:
            raise EstimateError(f"The prompt must have at least 1 token, not {self.prompt}")
        if self.tokens < 2:
            raise EstimateError(f"At least 2 tokens must be generated, not {self.tokens}")
        if self.context < 0:
            raise EstimateError(f"The context must have 0 tokens or more, not {self.context}")
        if self.batch < 1:
            raise EstimateError(f"A batch must have at least 1 sequence, not {self.batch}")
        most = self.model.config.max_position_embeddings
        if self.positions > most:
            after = f" after {self.context} of context" if self.context else ""
            raise EstimateError(f"{self.model.name} has {most} positions, and a prompt of "
                                f"{self.prompt} with {self.tokens} tokens{after} needs "
                                f"{self.positions}")
        _ = self.rate, self.slowdown
        if self.needed_bytes > self.soc.dram.capacity.count:
            raise EstimateError(
                f"{self.model.name} in {self.stored.name} needs {self.needed_bytes:,} bytes, and "
                f"{self.soc.name} has {self.soc.dram.capacity.count:,}")

    @cached_property
    def rate(self) -> Rate:
        """How fast the processor multiplies what the format stores."""
        return choose_rate(self.processor, self.stored.precision)

    @cached_property
    def shares(self) -> Shares:
        """What the engine reaches of the processor."""
        return shares_of(self.soc, self.processor, self.engine, self.stored)

    @property
    def bandwidth(self) -> float:
        """Bytes per second that the engine reaches, never above the memory's peak."""
        return 1e9 * min(self.shares.bandwidth * self.processor.bandwidth.nominal,
                         self.soc.dram.peak.nominal)

    @cached_property
    def slowdown(self) -> Mapping[Corner, float]:
        """By which factor everything takes longer after ``minutes`` of load.

        Raises
        ------
        EstimateError
            Nothing is known of the device under a long load.
        """
        if not self.minutes:
            return dict.fromkeys(Corner, 1.0)
        if not 0 < self.minutes <= _LONGEST_LOAD:
            raise EstimateError(f"--minutes must be above 0 and at most {_LONGEST_LOAD}, not "
                                f"{self.minutes:g}")
        if self.soc.heat is None:
            raise EstimateError(f"--minutes: nothing is known of how {self.soc.name} slows down "
                                "under a long load")
        return {corner: self.soc.heat.slowdown(self.minutes, corner) for corner in Corner}

    @property
    def positions(self) -> int:
        """Positions in the cache of one sequence at the request's end."""
        return self.context + self.prompt + self.tokens

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return self.stored.model_bytes(self.model.config, self.model.experts)

    @property
    def kv_bytes_per_position(self) -> int:
        """Bytes of keys and values of one position, all layers."""
        return kv_bytes(self.model.config, self.kv)

    @property
    def needed_bytes(self) -> int:
        """Bytes of weights and of the caches at the request's end; activations not counted."""
        return self.weight_bytes + self.batch * self.positions * self.kv_bytes_per_position

    @property
    def contexts(self) -> Sequence[int]:
        """The contexts for which a decode rate is drawn."""
        longest = min(self.model.config.max_position_embeddings,
                      max(_LONGEST, self.positions)) - 1
        return sorted({0, *(longest // part for part in (32, 16, 8, 4, 2, 1))})

    @cached_property
    def prefill(self) -> StepCosts:
        """The step of the prompt."""
        return self.step(self.prompt, self.context, "prefill")

    @cached_property
    def decode(self) -> StepCosts:
        """The decode step in the middle of the generation."""
        return self.step(1, self.context + self.prompt + (self.tokens - 2) // 2)

    def first_token(self, corner: Corner) -> float:
        """Seconds of the prompt, until the first token is there."""
        return self.prefill.seconds[corner]

    def per_token(self, corner: Corner) -> float:
        """Seconds of a token in the middle of the generation: they grow in a line."""
        return self.decode.seconds[corner]

    def decode_seconds(self, context: int, corner: Corner) -> float:
        """Seconds of a decode step with ``context`` positions in the cache."""
        return self._doubt("decode", corner) * sum(map(self.seconds, self.operators(1, context)))

    def step(self, tokens: int, past: int, phase: str = "decode") -> StepCosts:
        """A step of ``tokens`` tokens of each sequence after ``past`` ones."""
        operators = tuple(self._cost(operator, phase) for operator in self.operators(tokens, past))
        seconds = {corner: sum(cost.time.nominal for cost in operators)
                   * self._doubt(phase, corner) / self._doubt(phase, Corner.NOMINAL)
                   for corner in Corner}
        moved = sum(cost.bytes for cost in operators)
        return StepCosts(tokens, past + tokens, operators, seconds, {
            corner: self.energy(seconds[corner], moved, corner) for corner in Corner})

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        return {"prefill": self._timeline(self.prefill), "decode": self._timeline(self.decode)}

    def operators(self, tokens: int, past: int) -> list[Operator]:
        """The operators of a step of ``tokens`` tokens after ``past`` ones."""
        return list(step_operators(
            self.model, self.stored, self.kv, tokens, past,
            self.engine.chunk if self.engine else 0, self.batch))

    def _doubt(self, phase: str, corner: Corner) -> float:
        """By which factor a step may take longer, or less long, than it does nominally."""
        quantity = self.rate.peak if phase == "prefill" else self.processor.bandwidth
        factor = self.shares.doubt[phase]
        if self.shares.evidence == "none":   # then the description's own doubt counts, too
            factor = max(factor, math.sqrt(quantity.high / quantity.low))
        doubt = {Corner.BEST: 1 / factor, Corner.NOMINAL: 1.0, Corner.WORST: factor}[corner]
        return doubt * self.slowdown[corner]

    def _parts(self, operator: Operator) -> tuple[float, float, float]:
        """Seconds of starts, of arithmetic and of memory, of all times that it runs; nominal."""
        count = operator.count
        peak = 1e12 * self.rate.peak.nominal * self.shares.compute
        return (count * self.shares.start, count * 2 * operator.macs / peak,
                count * operator.traffic.total / self.bandwidth)

    def seconds(self, operator: Operator) -> float:
        """Seconds of all times that an operator runs, nominal and of a cool device."""
        start, compute, memory = self._parts(operator)
        return start + max(compute, memory)

    def _cost(self, operator: Operator, phase: str) -> OperatorCost:
        start, compute, memory = self._parts(operator)
        parts: dict[Wait, tuple[float, str]] = {
            "start": (start, "derived"), "memory": (memory, self.processor.bandwidth.kind),
            "compute": (compute, self.rate.peak.kind)}
        waits = max(parts, key=lambda part: parts[part][0])
        time = start + max(compute, memory)
        return OperatorCost(
            operator, operator.count * operator.traffic.total, start, compute, memory,
            Range.at_corners(lambda corner: time * self._doubt(phase, corner)),
            waits, None, parts[waits][1])

    def energy(self, seconds: float, moved: int, corner: Corner) -> Energy:
        """Joules of ``seconds`` in which the processor is busy and so many bytes are moved."""
        return Energy(
            static=seconds * self.soc.power.idle.cost(corner),
            # A hot processor draws less in the same measure as it is slower.
            active=seconds / self.slowdown[corner] * self.processor.power.cost(corner),
            compute=0.0,
            dram=8e-12 * moved * self.soc.dram.energy.cost(corner))

    def _timeline(self, step: StepCosts) -> Timeline:
        bandwidth = self.bandwidth
        system = System.of(
            [Unit(self.processor.name, _KINDS[self.processor.kind], {_DRAM: bandwidth},
                  self.processor.power.nominal)],
            [Channel(_DRAM, Kind.DRAM, max(bandwidth, self.soc.dram.sustained.nominal * 1e9),
                     energy=8e-12 * self.soc.dram.energy.nominal)],
            self.soc.power.idle.nominal)
        runs = list(self._in_order(step.operators))
        return simulate(system, [
            Task(f"{number:06}", self.processor.name, cost.compute / parts,
                 {_DRAM: cost.bytes / parts}, (f"{number - 1:06}",) if number else (),
                 start=cost.start / parts, label=label)
            for number, (label, cost, parts) in enumerate(runs)])

    def _in_order(self, operators: Sequence[OperatorCost]) -> list[tuple[str, OperatorCost, int]]:
        """Label, operator, and by how many runs of it are equal: layers' operators come in each."""
        layers = self.model.config.num_layers
        inside = [cost for cost in operators if cost.operator.name not in ("embedding", "head")]
        first, last = operators[0], operators[-1]
        return [(first.operator.name, first, 1),
                *((f"layer {layer} {cost.operator.name}", cost, layers)
                  for layer in range(layers) for cost in inside),
                (last.operator.name, last, 1)]
