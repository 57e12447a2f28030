"""How far orders of subgraphs are from the shortest schedule: the table of docs/explanation/npu.md.

A prefill of C chunks and L layers: per chunk and layer a linear part on the NPU, attention on the
CPU after this chunk's and all earlier chunks' linear part, and the rest of the layer on the NPU.
Seconds are drawn uniformly: 1 to 10 for each subgraph, attention's times the number of chunks that
it sees. Then the times of a model's chunks of 256 tokens on the Snapdragon 8 Gen 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ....tools.progress import Progress
from ...descriptions.soc import load_soc
from ..soc_tasks import LayerPlacement, prefill_tasks
from ..study import StudyTable
from ..subgraph_schedule import Subgraph, in_order, optimum, out_of_order
from ..validation.llm_npu import MODELS

__all__ = ["tables"]

_COUNT = 200
_MODELS = ("Qwen1.5-1.8B", "Gemma-2B", "LLaMA-2-7B")
SIZES = ((2, 2), (3, 1), (4, 1))   # chunks and layers: the optimum is searched for these


def prefill(chunks: int, layers: int, random: np.random.Generator) -> list[Subgraph]:
    """The subgraphs, chunk by chunk, layer by layer."""
    graph: list[Subgraph] = []
    keys: dict[tuple[int, int], int] = {}
    for chunk in range(chunks):
        last: tuple[int, ...] = ()
        for layer in range(layers):
            keys[chunk, layer] = len(graph)
            graph.append(Subgraph("NPU", random.uniform(1, 10), last))
            seen = tuple(keys[earlier, layer] for earlier in range(chunk + 1))
            graph.append(Subgraph("CPU", random.uniform(1, 10) * (chunk + 1), seen))
            graph.append(Subgraph("NPU", random.uniform(1, 10), (len(graph) - 1,)))
            last = (len(graph) - 1,)
    return graph


def gaps(chunks: int, layers: int, count: int, seed: int) -> dict[str, np.ndarray]:
    """Makespans over the shortest one, less 1, and bubbles of the NPU, by order."""
    random = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float]]] = {"in order": [], "rule": [], "optimum": []}
    for _ in range(count):
        graph = prefill(chunks, layers, random)
        best = optimum(graph)
        for name, schedule in (("in order", in_order(graph)), ("rule", out_of_order(graph)),
                               ("optimum", best)):
            found[name].append((schedule.makespan / best.makespan - 1, schedule.bubbles("NPU")))
    return {name: np.array(values) for name, values in found.items()}


def of_model(model: str, chunks: int, layers: int) -> list[Subgraph]:
    """The subgraphs of some layers of one of llm.npu's models, with the device's times."""
    shape = dataclasses.replace(MODELS[model][0], layers=layers)
    placement = LayerPlacement("NPU", "int8", "CPU", "int8")
    tasks = prefill_tasks(load_soc("snapdragon-8-gen-3"), shape, chunks, 256, placement)
    places = {task.name: place for place, task in enumerate(tasks)}
    return [Subgraph(task.unit, task.start + task.compute,
                     tuple(places[name] for name in task.after))
            for task in tasks]


def tables(progress: Progress) -> Iterator[StudyTable]:
    """Random prefills; then the chunks of models, with the device's times."""
    progress.start(len(SIZES) + len(_MODELS) * len(SIZES), "searching for shortest schedules")
    rows: list[tuple[str | int, ...]] = []
    for chunks, layers in SIZES:
        found = gaps(chunks, layers, _COUNT, seed=0)
        over = {name: values[:, 0] for name, values in found.items()}
        rows.append((
            f"{chunks} x {layers}", 3 * chunks * layers,
            *(f"{over[name].mean():.1%}, {over[name].max():.1%}" for name in ("in order", "rule")),
            ", ".join(f"{values[:, 1].mean():.1%}" for values in found.values()),
        ))
        progress.advance()
    yield StudyTable(
        f"{_COUNT} random prefills of each size: longer than the shortest schedule (mean, worst)",
        ("chunks x layers", "subgraphs", "in order", "rule", "NPU idle: in order, rule, optimum"),
        tuple(rows),
    )
    rows = []
    for model in _MODELS:
        for chunks, layers in SIZES:
            graph = of_model(model, chunks, layers)
            best = optimum(graph).makespan
            rows.append((model, f"{chunks} x {layers}", *(
                f"{schedule.makespan / best - 1:.1%}"
                for schedule in (in_order(graph), out_of_order(graph)))))
            progress.advance()
    yield StudyTable("Chunks of 256 tokens on the Snapdragon 8 Gen 3",
                     ("model", "chunks x layers", "in order", "rule"), tuple(rows))
