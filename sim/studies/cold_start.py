"""The first prefill after a model is opened: weights come from flash, and graphs are built.

Cold and warm are apart: ``soc_tasks.chunked_prefill`` is warm. Here each layer's weights are read
from flash, then its graphs are built and optimized on the CPU, and then its chunks may run; layers
follow each other, so that reading, building and running overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...errors import EstimateError
from ..descriptions.quantity import Corner
from ..descriptions.soc import Soc
from ..events import Channel, Kind, System, Task, Timeline, Unit, simulate
from .chunk_graphs import ChunkGraphs
from .soc_tasks import LayerPlacement, LayerShape, prefill_tasks, soc_system

__all__ = ["cold_prefill"]

_FLASH, _STORAGE, _DRAM, _BUILDER = "flash", "storage", "DRAM", "CPU"


def cold_prefill(soc: Soc, graphs: ChunkGraphs, placement: LayerPlacement,
                 corner: Corner = Corner.NOMINAL) -> Timeline:
    """A prompt of all the chunks that ``graphs`` are for, from the opening of the model on.

    Raises
    ------
    EstimateError
        The description says nothing about flash.
    """
    if soc.flash is None:
        raise EstimateError(f"{soc.name} has no flash in its description: nothing can be said "
                            "about a cold start")
    shape = LayerShape.of(graphs.config)
    return simulate(_system(soc, corner), [
        *_preparation(graphs, shape, placement),
        *(_after_building(task) for task in prefill_tasks(
            soc, shape, graphs.chunks, graphs.chunk, placement, corner))])


def _system(soc: Soc, corner: Corner) -> System:
    """The SoC, with its flash and what copies from there into memory."""
    warm = soc_system(soc, corner)
    if soc.flash is None:
        raise ValueError("a cold start is asked of a SoC without a flash")
    flash = Channel(_FLASH, Kind.FLASH, soc.flash.rate(corner) * 1e9)
    return System.of([*warm.units.values(), Unit(_STORAGE, Kind.DMA)],
                     [*warm.channels.values(), flash], warm.idle)


def _preparation(
    graphs: ChunkGraphs, shape: LayerShape, placement: LayerPlacement
) -> Iterator[Task]:
    """Each layer's weights, and then its graphs."""
    weights = shape.parameters * placement.weight_bytes / shape.layers
    seconds = graphs.preparation() / shape.layers
    for layer in range(shape.layers):
        yield Task(_named("read", layer), _STORAGE, transfers={_FLASH: weights, _DRAM: weights},
                   priority=(layer,))
        # First of all on the CPU: no chunk can pass a layer that is not built.
        yield Task(_named("build", layer), _BUILDER, seconds, after=(_named("read", layer),),
                   priority=(-1, layer))


def _after_building(task: Task) -> Task:
    """A task of a chunk, which waits for its layer's graphs; it is ``chunk C layer L part``."""
    layer = int(task.name.split()[3])
    return replace(task, after=(*task.after, _named("build", layer)))


def _named(what: str, layer: int) -> str:
    return f"{what} layer {layer:03}"
