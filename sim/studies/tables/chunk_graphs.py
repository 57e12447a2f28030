"""What chunks of a prompt share: graphs, memory and seconds; and that results are the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....quant.checkpoint import open_checkpoint
from ....runtime.decoder import Decoder
from ....runtime.kv_cache.cache import make_cache
from ....tools.progress import Progress
from ..chunk_graphs import ChunkGraphs
from ..chunked import prefill_in_chunks
from ..study import StudyTable
from .llm_npu_models import GEMMA_2B, GEMMA_BUILD_SECONDS, QWEN_1_8B

__all__ = ["tables"]

_CHUNK, _CHUNKS = 256, (1, 2, 4, 8)
_MODEL, _TOKENS, _CHUNKED = "demo-bitnet", 150, (32, 64, 100)


def tables(progress: Progress) -> Iterator[StudyTable]:
    """Graphs by the number of chunks, shared and not; then a model's bits by the size of chunks."""
    del progress
    yield StudyTable(
        f"Graphs of Qwen1.5-1.8B in chunks of {_CHUNK} tokens: subgraphs, and GB with int8 weights",
        ("chunks", "shared", "GB", "apart", "GB"), tuple(map(_graphs, _CHUNKS)),
    )
    yield StudyTable(
        "Gemma-2B: seconds to build all graphs, if subgraphs take equally long",
        ("chunks", "shared", "apart"), tuple(map(_seconds, _CHUNKS)),
    )
    yield StudyTable(
        f"Hidden states of {_TOKENS} tokens of {_MODEL}, int8 cache, beside the whole prompt's",
        ("tokens of a chunk", "bits that differ"), tuple(_differing()),
    )


def _graphs(chunks: int) -> tuple[int, int, float, int, float]:
    graphs = ChunkGraphs(QWEN_1_8B, _CHUNK, chunks)
    return (chunks, graphs.built(), round(graphs.memory() / 1e9, 2),
            graphs.built(sharing=False), round(graphs.memory(sharing=False) / 1e9, 2))


def _seconds(chunks: int) -> tuple[int, float, float]:
    graphs = ChunkGraphs(GEMMA_2B, _CHUNK, chunks, seconds=GEMMA_BUILD_SECONDS)
    return (chunks, round(graphs.preparation(), 1), round(graphs.preparation(sharing=False), 1))


def _differing() -> Iterator[tuple[int, int]]:
    """Bits of the hidden states that a prefill in chunks has otherwise."""
    with open_checkpoint(_MODEL) as checkpoint:
        decoder = Decoder(checkpoint.config, checkpoint.weight)
    ids = np.random.default_rng(0).integers(0, decoder.config.vocab_size, _TOKENS)
    whole = decoder.hidden(ids, make_cache("int8", decoder.config, _TOKENS), 0)
    for chunk in _CHUNKED:
        cache = make_cache("int8", decoder.config, -(-_TOKENS // chunk) * chunk)
        found = prefill_in_chunks(decoder, cache, ids.tolist(), chunk)
        different = found.view(np.uint32) ^ whole.view(np.uint32)
        yield chunk, int(np.bitwise_count(different).sum())
