"""What a request costs on one processor of a SoC: seconds and joules, operator by operator.

    start   = what passes before a kernel's first result, for every launch
    compute = operations / (peak x fraction of it that is reached with so many tokens)
    memory  = bytes / bandwidth that the processor reaches alone
    time    = launches x start + max(compute, memory)

Operators follow one another. Power is that of the idle board and of the busy processor by time, and
of the DRAM by bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ...errors import EstimateError
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape
from ..descriptions.soc import Processor, Rate, Soc
from ..events import Channel, Kind, System, Task, Timeline, Unit, simulate
from ..formulas.cost_model import StepCosts
from ..formulas.energy import Energy
from ..formulas.phase_results import OperatorCost
from ..formulas.workload import Operator
from .rates import choose_rate
from .stored_format import StoredFormat
from .workload import kv_bytes, step_operators

__all__ = ["ProcessorRequest"]

_DRAM = "DRAM"
_KINDS = {"cpu": Kind.CPU, "gpu": Kind.GPU, "npu": Kind.NPU}
_LONGEST = 8192   # positions up to which the decode rate is drawn


@dataclass(frozen=True)
class ProcessorRequest:
    """``RequestCosts`` of a model in a stored format on a processor.

    Raises
    ------
    EstimateError
        A length is wrong, the model has fewer positions, the processor has no rate for the format,
        or the memory is too small.
    """

    soc: Soc
    processor: Processor
    model: ModelShape
    stored: StoredFormat
    kv: str
    prompt: int
    tokens: int

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        if self.prompt < 1:
            raise EstimateError(f"The prompt must have at least 1 token, not {self.prompt}")
        if self.tokens < 2:
            raise EstimateError(f"At least 2 tokens must be generated, not {self.tokens}")
        most = self.model.config.max_position_embeddings
        if self.prompt + self.tokens > most:
            raise EstimateError(f"{self.model.name} has {most} positions, and a prompt of "
                                f"{self.prompt} with {self.tokens} tokens needs "
                                f"{self.prompt + self.tokens}")
        _ = self.rate
        if self.needed_bytes > self.soc.dram.capacity.count:
            raise EstimateError(
                f"{self.model.name} in {self.stored.name} needs {self.needed_bytes:,} bytes, and "
                f"{self.soc.name} has {self.soc.dram.capacity.count:,}")

    @cached_property
    def rate(self) -> Rate:
        """How fast the processor multiplies what the format stores."""
        return choose_rate(self.processor, self.stored.precision)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return self.stored.model_bytes(self.model.config)

    @property
    def kv_bytes_per_position(self) -> int:
        """Bytes of keys and values of one position, all layers."""
        return kv_bytes(self.model.config, self.kv)

    @property
    def needed_bytes(self) -> int:
        """Bytes of weights and of the cache at the request's end; activations not counted."""
        return self.weight_bytes + (self.prompt + self.tokens) * self.kv_bytes_per_position

    @property
    def contexts(self) -> Sequence[int]:
        """The contexts for which a decode rate is drawn."""
        longest = min(self.model.config.max_position_embeddings,
                      max(_LONGEST, self.prompt + self.tokens)) - 1
        return sorted({0, *(longest // part for part in (32, 16, 8, 4, 2, 1))})

    @cached_property
    def prefill(self) -> StepCosts:
        """The step of the prompt."""
        return self.step(self.prompt, 0)

    @cached_property
    def decode(self) -> StepCosts:
        """The decode step in the middle of the generation."""
        return self.step(1, self.prompt + (self.tokens - 2) // 2)

    def first_token(self, corner: Corner) -> float:
        """Seconds of the prompt, until the first token is there."""
        return self.prefill.seconds[corner]

    def per_token(self, corner: Corner) -> float:
        """Seconds of a token in the middle of the generation: they grow in a line."""
        return self.decode.seconds[corner]

    def decode_seconds(self, context: int, corner: Corner) -> float:
        """Seconds of a decode step with ``context`` positions in the cache."""
        return sum(self._seconds(operator, corner) for operator in self._operators(1, context))

    def step(self, tokens: int, past: int) -> StepCosts:
        """A step of ``tokens`` tokens after ``past`` ones."""
        operators = tuple(map(self._cost, self._operators(tokens, past)))
        seconds = {corner: sum(self._seconds(cost.operator, corner) for cost in operators)
                   for corner in Corner}
        moved = sum(cost.bytes for cost in operators)
        return StepCosts(tokens, past + tokens, operators, seconds, {
            corner: self._energy(seconds[corner], moved, corner) for corner in Corner})

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        return {"prefill": self._timeline(self.prefill), "decode": self._timeline(self.decode)}

    def _operators(self, tokens: int, past: int) -> list[Operator]:
        return list(step_operators(self.model.config, self.stored, self.kv, tokens, past))

    def _parts(self, operator: Operator, corner: Corner) -> tuple[float, float, float]:
        """Seconds of starts, of arithmetic and of memory, of all times that it runs."""
        count = operator.count
        return (count * 1e-6 * self.rate.start.cost(corner),
                count * self.rate.seconds(2 * operator.macs, operator.tokens, corner),
                count * operator.traffic.total / (self.processor.bandwidth.rate(corner) * 1e9))

    def _seconds(self, operator: Operator, corner: Corner) -> float:
        start, compute, memory = self._parts(operator, corner)
        return start + max(compute, memory)

    def _cost(self, operator: Operator) -> OperatorCost:
        start, compute, memory = self._parts(operator, Corner.NOMINAL)
        parts = {"start": (start, self.rate.start.kind), "memory": (
            memory, self.processor.bandwidth.kind), "compute": (
            compute, self.rate.buckets[0].efficiency.kind)}
        waits = max(parts, key=lambda part: parts[part][0])
        return OperatorCost(
            operator, operator.count * operator.traffic.total, start, compute, memory,
            Range.at_corners(lambda corner: self._seconds(operator, corner)),
            waits, None, parts[waits][1])   # type: ignore[arg-type]

    def _energy(self, seconds: float, moved: int, corner: Corner) -> Energy:
        return Energy(
            static=seconds * self.soc.power.idle.cost(corner),
            active=seconds * self.processor.power.cost(corner), compute=0.0,
            dram=8e-12 * moved * self.soc.dram.energy.cost(corner))

    def _timeline(self, step: StepCosts) -> Timeline:
        bandwidth = self.processor.bandwidth.nominal * 1e9
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
