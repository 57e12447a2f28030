"""Graphs of a prefill in fixed chunks: which subgraphs all chunks share, and what that saves.

An NPU runs graphs of fixed shapes that are built and optimized beforehand, which takes seconds, and
hold weights and buffers of their own. llm.npu (arXiv 2407.05858, section 3.2) cuts a layer into
subgraphs. Those of linears and norms have the shape of a chunk, whatever its place in the prompt:
they are built once and shared by all chunks. Attention also has the shape of all that came before:
every chunk has its own. ``sim.studies.chunked`` runs a prompt like this.

Counted are weights and what goes in and out of each subgraph. Keys and values are the cache's, and
attention's scores are scratch that layers use in turn: neither belongs to a graph.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import EstimateError
from ...model import LINEAR_NAMES, ModelConfig

__all__ = ["STEPS", "ChunkGraphs", "GraphPart"]

_FLOAT, _CODE = 4, 1                       # bytes of an activation between subgraphs, of an int8


@dataclass(frozen=True)
class GraphPart:
    """One of the subgraphs of a layer: its name, and whether all chunks share it."""

    name: str
    shared: bool


# In order: six for each layer, as in the paper.
STEPS = (
    GraphPart("attention norm", True), GraphPart("query, key, value", True),
    GraphPart("attention", False), GraphPart("output projection", True),
    GraphPart("feed-forward norm", True), GraphPart("feed-forward", True),
)


@dataclass(frozen=True)
class ChunkGraphs:
    """All graphs for prompts of up to ``chunks`` chunks of ``chunk`` tokens.

    ``weight_bytes`` of a weight in a graph; ``seconds``: to build and optimize the subgraphs of
    one chunk, all layers.

    Raises
    ------
    EstimateError
        A number is not positive, or the prompt is longer than the model's positions.
    """

    config: ModelConfig
    chunk: int
    chunks: int
    weight_bytes: float = 1.0
    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if min(self.chunk, self.chunks) < 1 or min(self.weight_bytes, self.seconds) <= 0:
            raise EstimateError(f"{self.chunks} chunks of {self.chunk} tokens, {self.weight_bytes} "
                                f"bytes and {self.seconds} seconds must all be above 0")
        if self.chunk * self.chunks > self.config.max_position_embeddings:
            raise EstimateError(f"{self.chunks} chunks of {self.chunk} tokens are more than the "
                                f"model's {self.config.max_position_embeddings} positions")

    @property
    def subgraphs(self) -> int:
        """How many subgraphs one chunk has."""
        return self.config.num_layers * len(STEPS)

    @property
    def shared(self) -> int:
        """How many of them all chunks share."""
        return self.config.num_layers * sum(part.shared for part in STEPS)

    def built(self, *, sharing: bool = True) -> int:
        """Subgraphs that are built for all chunks."""
        if not sharing:
            return self.chunks * self.subgraphs
        return self.shared + self.chunks * (self.subgraphs - self.shared)

    def memory(self, *, sharing: bool = True) -> float:
        """Bytes of weights and buffers of all graphs."""
        total = 0.0
        for part in STEPS:
            times = 1 if sharing and part.shared else self.chunks
            total += times * self.config.num_layers * self.bytes(part)
        return total

    def preparation(self, *, sharing: bool = True) -> float:
        """Seconds to build and optimize all, if subgraphs take equally long."""
        return self.seconds * self.built(sharing=sharing) / self.subgraphs

    def bytes(self, part: GraphPart) -> float:
        """Bytes of ``part`` of one layer and one chunk: weights, inputs and outputs."""
        weights = sum(M * K for M, K in self._matrices(part))
        return weights * self.weight_bytes + self.chunk * self._row_bytes(part)

    def _matrices(self, part: GraphPart) -> list[tuple[int, int]]:
        names = {"query, key, value": LINEAR_NAMES[:3], "output projection": LINEAR_NAMES[3:4],
                 "feed-forward": LINEAR_NAMES[4:]}.get(part.name, ())
        return [self.config.linear_shape(name) for name in names]

    def _row_bytes(self, part: GraphPart) -> int:
        """Bytes of the buffers of one token."""
        config = self.config
        width, cached = (heads * config.head_dim for heads in (
            config.num_heads, config.num_kv_heads))
        if part.name.endswith("norm"):
            return config.hidden_size * (_FLOAT + _CODE)
        if part.name == "query, key, value":
            return config.hidden_size * _CODE + (width + 2 * cached) * _FLOAT
        if part.name == "attention":
            return 2 * width * _FLOAT
        if part.name == "output projection":
            return width * _CODE + config.hidden_size * _FLOAT
        return config.hidden_size * (_FLOAT + _CODE) + 2 * config.intermediate_size * _FLOAT
