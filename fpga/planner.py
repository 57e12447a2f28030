"""The program of a model whose weights one does not have: lists and memory map, no contents."""

from __future__ import annotations

import numpy as np

from ..errors import TrilobiteError
from ..model import ModelConfig
from ..quant.formats import Ternary
from ..quant.formats.base import Format
from .accelerator_parameters import AcceleratorParameters
from .compiler import Program, _Compiler
from .matrices import Matrix, MatrixLayout, grouping_of

__all__ = ["plan_program"]

TERNARY = Ternary()


def plan_program(config: ModelConfig, parameters: AcceleratorParameters, capacity: int,
                 layers: int | None = None,
                 vocabulary_bits: tuple[int, int] = (8, 8),
                 form: Format = TERNARY) -> Program:
    """What ``compile_model`` makes of any weights of this shape, but for scales and contents.

    Descriptors, weight tiles and regions are the same, so that cycles can be predicted for a shape
    alone, in no time. Scales (``x`` and ``y`` of MATMUL) are 1; regions have no contents.
    ``vocabulary_bits``: of the codes of the embedding and of an untied head, 8 or 4. ``form``: of
    the linears.

    Raises
    ------
    TrilobiteError
        The accelerator cannot run the model.
    """
    return _Planner(config, parameters, capacity,
                    config.num_layers if layers is None else layers, vocabulary_bits, form).run()


class _Planner(_Compiler):
    """Reserves what ``_Compiler`` fills."""

    def __init__(self, config: ModelConfig, parameters: AcceleratorParameters, capacity: int,
                 layers: int, vocabulary_bits: tuple[int, int], form: Format) -> None:
        super().__init__(config, self._no_weights, parameters, capacity, layers,
                         keep_residuals=False)
        self.shapes = config.tensor_shapes()
        self.vocabulary_bits = vocabulary_bits
        self.format = form

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

    def put(self, name: str, array: np.ndarray) -> int:
        return self.memory.reserve(name, array.nbytes).start

    def vector(self, name: str) -> np.ndarray:
        if name.endswith("k_proj.bias"):
            raise TrilobiteError("The accelerator cannot run this model: it has biases of keys")
        return np.broadcast_to(np.float32(0), self.shapes[name])

    def matrix(self, name: str) -> Matrix:
        """Zeros that take no memory."""
        M, K = shape = self.shapes[name]
        grouping = grouping_of(self.format, K)
        if grouping is None or (grouping.columns and not self.p.scale_beats):
            raise TrilobiteError(
                f"{name}: the accelerator does not multiply by {self.format.name} weights")
        groups = K // grouping.columns if grouping.columns else 1
        return Matrix(np.broadcast_to(np.int8(0), shape),
                      np.broadcast_to(np.float32(1), (M, groups)), grouping)

    def put_tile(self, name: str, matrix: Matrix, layout: MatrixLayout, rows: slice) -> int:
        blocks = (rows.stop - rows.start) // self.p.tlmm.columns
        return self.memory.reserve(name, layout.words(blocks) * self.p.word_bytes).start
