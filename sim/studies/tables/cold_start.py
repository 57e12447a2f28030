"""First prefills on a phone, cold and warm: weights from flash, graphs built, prompts of chunks."""

from __future__ import annotations

from collections.abc import Iterator

from ....tools.progress import Progress
from ...descriptions.soc import load_soc
from ..chunk_graphs import ChunkGraphs
from ..cold_start import cold_prefill
from ..soc_tasks import LayerPlacement, LayerShape, chunked_prefill
from ..study import StudyTable
from .llm_npu_models import GEMMA_2B, GEMMA_BUILD_SECONDS

__all__ = ["tables"]

_DEVICE = "snapdragon-8-gen-3"
_CHUNK, _CHUNKS = 256, (1, 2, 4)
_PLACEMENT = LayerPlacement("NPU", "int8", "CPU", "int8")


def tables(progress: Progress) -> Iterator[StudyTable]:
    """Seconds by the length of the prompt."""
    soc = load_soc(_DEVICE)
    progress.start(len(_CHUNKS), "simulating prefills")
    rows = []
    for chunks in _CHUNKS:
        graphs = ChunkGraphs(GEMMA_2B, _CHUNK, chunks, seconds=GEMMA_BUILD_SECONDS)
        cold = cold_prefill(soc, graphs, _PLACEMENT)
        ends = {what: max(span.end for span in cold.spans if span.task.name.startswith(what))
                for what in ("read", "build")}
        shape = LayerShape.of(GEMMA_2B)
        warm = chunked_prefill(soc, shape, _CHUNK * chunks, _CHUNK, _PLACEMENT).makespan
        rows.append((_CHUNK * chunks, round(warm, 2), round(ends["read"], 2),
                     round(ends["build"], 2), round(cold.makespan, 2)))
        progress.advance()
    yield StudyTable(
        f"Gemma-2B on a {soc.name}: seconds until the end of ...",
        ("tokens", "a warm prefill", "reading weights", "building graphs", "a cold prefill"),
        tuple(rows),
    )
