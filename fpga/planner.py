"""The program of a model whose weights one does not have: lists and memory map, no contents."""

from __future__ import annotations

import numpy as np

from ..model import ModelConfig
from .accelerator_parameters import AcceleratorParameters
from .compiler import Program, _Compiler
from .descriptors import WeightTile
from .tiling import Tiling

__all__ = ["plan_program"]


def plan_program(config: ModelConfig, parameters: AcceleratorParameters, capacity: int,
                 layers: int | None = None,
                 vocabulary_bits: tuple[int, int] = (8, 8)) -> Program:
    """What ``compile_model`` makes of any weights of this shape, but for scales and contents.

    Descriptors, weight tiles and regions are the same, so that cycles can be predicted for a shape
    alone, in no time. Scales (``x`` and ``y`` of MATMUL) are 1; regions have no contents.
    ``vocabulary_bits``: of the codes of the embedding and of an untied head, 8 or 4.

    Raises
    ------
    TrilobiteError
        The accelerator cannot run the model.
    """
    return _Planner(config, parameters, capacity,
                    config.num_layers if layers is None else layers, vocabulary_bits).run()


class _Planner(_Compiler):
    """Reserves what ``_Compiler`` fills."""

    def __init__(self, config: ModelConfig, parameters: AcceleratorParameters, capacity: int,
                 layers: int, vocabulary_bits: tuple[int, int]) -> None:
        super().__init__(config, self._no_weights, parameters, capacity, layers,
                         keep_residuals=False)
        self.shapes = config.tensor_shapes()
        self.vocabulary_bits = vocabulary_bits

    def _no_weights(self, name: str) -> np.ndarray:
        raise AssertionError(f"A plan has no weights, and {name} was asked for")

    def put_vocabulary(self) -> None:
        names = {"vocabulary": "model.embed_tokens.weight"}
        if not self.config.tie_word_embeddings:
            names["head"] = "lm_head.weight"
        for (region, name), bits in zip(names.items(), self.vocabulary_bits, strict=False):
            layout = self.add_vocabulary(region, name, bits)
            self.memory.reserve(region, layout.words(self.config.vocab_size) * self.p.word_bytes)

    def put_angles(self) -> None:
        row = self.words_of(self.config.head_dim) * self.p.word_bytes
        self.memory.reserve("angles", self.capacity * row)

    def vector(self, name: str) -> int:
        return self.memory.reserve(name, 4 * self.shapes[name][0]).start

    def trits(self, name: str) -> tuple[np.ndarray, np.float32]:
        """Zeros that take no memory."""
        return np.broadcast_to(np.int8(0), self.shapes[name]), np.float32(1)

    def _put_tiles(self, name: str, trits: np.ndarray, tiling: Tiling) -> None:
        for tile in range(tiling.tiles):
            rows = tiling.of_tile(tile) * self.p.tlmm.columns
            words = self.p.weights.words(rows, trits.shape[1])
            region = self.memory.reserve(f"{name}.{tile}", words * self.p.word_bytes)
            beats = tiling.of_tile(tile) * self.p.tlmm.passes(trits.shape[1])
            self.program.tiles.append(WeightTile(region.start, words, beats))
