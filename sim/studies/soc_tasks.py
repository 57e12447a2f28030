"""Language models on a SoC: its processors as units, and prefill and decode as their tasks.

Prefill follows llm.npu (arXiv 2407.05858): the prompt is cut into chunks of one size, padded, so
that graphs are built once; linear layers run on one processor, attention on another, and whatever
chunk is ready fills the gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...model import LINEAR_NAMES, ModelConfig
from ..descriptions.quantity import Corner
from ..descriptions.soc import Rate, Soc
from ..events import Channel, Kind, System, Task, Timeline, Unit, simulate
from ..events.arbitration import Demand, share

__all__ = [
    "LayerPlacement",
    "LayerShape",
    "chunked_prefill",
    "decode_step",
    "prefill_tasks",
    "soc_system",
]

_DRAM = "DRAM"
_KINDS = {"cpu": Kind.CPU, "gpu": Kind.GPU, "npu": Kind.NPU}


@dataclass(frozen=True)
class LayerShape:
    """A decoder by its matrices [M, K] before and after attention; ``width``: heads x head_dim."""

    layers: int
    width: int
    before: tuple[tuple[int, int], ...]
    after: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, config: ModelConfig) -> LayerShape:
        """The shape of a model's layers."""
        shapes = [config.linear_shape(name) for name in LINEAR_NAMES]
        width = config.num_heads * config.head_dim
        return cls(config.num_layers, width, tuple(shapes[:3]), tuple(shapes[3:]))

    @property
    def parameters(self) -> int:
        """Weights of all layers."""
        return self.layers * sum(M * K for M, K in (*self.before, *self.after))


@dataclass(frozen=True)
class LayerPlacement:
    """Where the linear layers and attention run, and in what precision their rates are known."""

    linear: str
    linear_precision: str
    attention: str
    attention_precision: str
    weight_bytes: float = 1.0


def soc_system(soc: Soc, corner: Corner = Corner.NOMINAL) -> System:
    """The processors of ``soc`` on its memory, which they share."""
    units = [
        Unit(
            processor.name, _KINDS[processor.kind],
            {_DRAM: processor.bandwidth.rate(corner) * 1e9}, processor.power.cost(corner),
        )
        for processor in soc.processors
    ]
    dram = Channel(
        _DRAM, Kind.DRAM, soc.dram.sustained.rate(corner) * 1e9,
        energy=8e-12 * soc.dram.energy.cost(corner),
    )
    return System.of(units, [dram], soc.power.idle.cost(corner))


def chunked_prefill(
    soc: Soc, shape: LayerShape, prompt: int, chunk: int, placement: LayerPlacement,
    corner: Corner = Corner.NOMINAL,
) -> Timeline:
    """The prompt's tokens in padded chunks through all layers."""
    tasks = prefill_tasks(soc, shape, -(-prompt // chunk), chunk, placement, corner)
    return simulate(soc_system(soc, corner), tasks)


def prefill_tasks(
    soc: Soc, shape: LayerShape, chunks: int, chunk: int, placement: LayerPlacement,
    corner: Corner = Corner.NOMINAL,
) -> list[Task]:
    """``chunks`` chunks through all layers: per chunk and layer matrices, attention, matrices."""
    graph = _Prefill(soc, shape, chunk, placement, corner)
    return [task for index in range(chunks) for layer in range(shape.layers)
            for task in graph.layer(index, layer)]


def decode_step(
    soc: Soc, readers: Sequence[str], weight_bytes: float, corner: Corner = Corner.NOMINAL
) -> Timeline:
    """One token bound by memory: each of ``readers`` reads its part of the weights, all at once.

    The parts are as large as what each gets while all read, so that they end together.
    """
    system = soc_system(soc, corner)
    demands = [Demand(system.units[name].limits[_DRAM], {_DRAM: 1.0}) for name in readers]
    rates = share(demands, {_DRAM: system.channels[_DRAM].bandwidth})
    return simulate(system, [
        Task(f"decode on {name}", name, transfers={_DRAM: weight_bytes * rate / sum(rates)})
        for name, rate in zip(readers, rates, strict=True)
    ])


@dataclass(frozen=True)
class _Prefill:
    """Makes the three tasks of each chunk and layer."""

    soc: Soc
    shape: LayerShape
    chunk: int
    placement: LayerPlacement
    corner: Corner

    def layer(self, chunk: int, layer: int) -> Iterator[Task]:
        """Matrices before attention, attention on all chunks so far, matrices after it."""
        place, shape = self.placement, self.shape
        key = f"chunk {chunk:03} layer {layer:03}"
        priority = (chunk, layer)
        entered = (f"chunk {chunk:03} layer {layer - 1:03} after",) if layer else ()
        yield self._linear(f"{key} before", shape.before, entered, priority)
        keys = (f"chunk {chunk - 1:03} layer {layer:03} attention",) if chunk else ()
        pairs = self.chunk * self.chunk * chunk + self.chunk * (self.chunk + 1) // 2
        rate = self._rate(place.attention, place.attention_precision)
        yield Task(
            f"{key} attention", place.attention,
            compute=rate.seconds(4 * pairs * shape.width, self.chunk, self.corner),
            after=(f"{key} before", *keys), priority=priority,
        )
        yield self._linear(f"{key} after", shape.after, (f"{key} attention",), priority)

    def _linear(
        self, name: str, matrices: Sequence[tuple[int, int]], after: tuple[str, ...],
        priority: tuple[int, ...],
    ) -> Task:
        """Several matrices in a row on one processor, each with its launch."""
        place = self.placement
        rate = self._rate(place.linear, place.linear_precision)
        weights = sum(M * K for M, K in matrices)
        return Task(
            name, place.linear, rate.seconds(2 * self.chunk * weights, self.chunk, self.corner),
            {_DRAM: weights * place.weight_bytes}, after,
            start=len(matrices) * rate.start.cost(self.corner) * 1e-6, priority=priority,
        )

    def _rate(self, processor: str, precision: str) -> Rate:
        """How fast ``processor`` multiplies matrices."""
        return self.soc.processor(processor).rate("matmul", precision)
