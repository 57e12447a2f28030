"""The compiler: it lays a ternary model out in the accelerator's memory and writes its program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import TrilobiteError
from ..hw.attention.cache_layout import CacheLayout
from ..hw.vocabulary.vocabulary_layout import VocabularyLayout
from ..model import ModelConfig
from ..numerics import flush_array, rope_tables
from ..quant.formats import Int4, Int8
from ..quant.formats.base import PackedWeight
from .accelerator_parameters import AcceleratorParameters
from .descriptors import Descriptor, Operation, Post, WeightTile
from .matrices import Grouping, Matrix, MatrixLayout, take_matrix
from .memory_map import MemoryMap
from .model_check import check_model
from .program import FINAL_NORM, Program, packed_list
from .tiling import Tiling, interleave, plan_tiling

__all__ = ["Program", "compile_model"]

Weights = Callable[[str], "np.ndarray | PackedWeight"]


def compile_model(config: ModelConfig, weights: Weights, parameters: AcceleratorParameters,
                  capacity: int, layers: int | None = None,
                  keep_residuals: bool = False) -> Program:
    """Lay out a model and write its program.

    Parameters
    ----------
    config, weights
        The model, and each of its tensors by name; those that read the same activations are in
        memory at a time, besides the image.
    parameters
        The accelerator.
    capacity
        Tokens of prompt and output together.
    layers
        The number of layers that it runs, the first ones; all by default.
    keep_residuals
        A buffer of its own for the residual stream before each layer, to be looked at.

    Raises
    ------
    TrilobiteError
        The accelerator cannot run the model; says which tensor or size is at fault.
    """
    return _Compiler(config, weights, parameters, capacity,
                     config.num_layers if layers is None else layers, keep_residuals).run()


class _Compiler:
    def __init__(self, config: ModelConfig, weights: Weights, parameters: AcceleratorParameters,
                 capacity: int, layers: int, keep_residuals: bool) -> None:
        self.config, self.weights, self.p = config, weights, parameters
        self.capacity, self.layers, self.keep_residuals = capacity, layers, keep_residuals
        check_model(config, parameters, capacity)
        self.memory = MemoryMap(parameters.word_bytes)
        self.program = Program(parameters, config, self.memory, layers=layers)
        self.cache = CacheLayout(parameters.attention, config.head_dim)
        self.vocabularies: dict[str, VocabularyLayout] = {}   # by region

    def run(self) -> Program:
        self.reserve()
        self.put_vocabulary()
        self.put_angles()
        emit = self.program.emit
        tokens = self.memory.regions["tokens"].start
        emit(self._vocabulary_descriptor(
            Operation.EMBED, "vocabulary", a=tokens, d=self.residual(0),
            d_stride=self.words_of(self.config.hidden_size),
            beats=self.config.hidden_size // self.p.lanes), "embedding")
        for layer in range(self.layers):
            self.layer(layer)
        emit(self.quantize(self.residual(self.layers), self.config.hidden_size,
                           "model.norm.weight", last_row=1), FINAL_NORM)
        head = "vocabulary" if self.config.tie_word_embeddings else "head"
        emit(self._vocabulary_descriptor(
            Operation.HEAD, head, a=tokens, d=self.memory.regions["logits"].start,
            rows=self.config.vocab_size), "lm_head")
        emit(Descriptor(Operation.END), "end")
        if not self.program.step_tokens:
            passes = max(descriptor.passes for descriptor in self.program.descriptors)
            raise TrilobiteError(
                f"The accelerator cannot run this model: a row of activations takes {passes} "
                f"beats, and its buffer has {self.p.activation_beats}")
        self._put_lists()
        return self.program

    def words_of(self, width: int) -> int:
        """Words of a row of ``width`` float32 numbers."""
        return -(-4 * width // self.p.word_bytes)

    def residual(self, layer: int) -> int:
        number = layer if self.keep_residuals else layer % 2
        return self.memory.regions[f"residual.{number}"].start

    def reserve(self) -> None:
        config, tokens = self.config, self.p.max_tokens

        def rows(name: str, width: int) -> None:
            self.memory.reserve(name, tokens * self.words_of(width) * self.p.word_bytes)

        self.memory.reserve("tokens", 4 * (self.capacity + 1))
        for number in range(self.layers + 1 if self.keep_residuals else 2):
            rows(f"residual.{number}", config.hidden_size)
        rows("middle", config.hidden_size)
        rows("queries", config.num_heads * config.head_dim)
        rows("attended", config.num_heads * config.head_dim)
        rows("gated", config.intermediate_size)
        # Of whole bursts, so that no region behind it is cut into more of them than it need be.
        burst = self.p.max_burst * self.p.word_bytes
        self.memory.reserve("logits", -(-4 * config.vocab_size // burst) * burst)
        self.memory.reserve("cache", self.layers * config.num_kv_heads
                            * self.cache.words(self.capacity) * self.p.word_bytes)

    def put_vocabulary(self) -> None:
        names = {"vocabulary": "model.embed_tokens.weight"}
        if not self.config.tie_word_embeddings:
            names["head"] = "lm_head.weight"
        for region, name in names.items():
            weight, bits = _vocabulary_weight(name, self.weights(name))
            layout = self.add_vocabulary(region, name, bits)
            codes = weight.codes()
            self.memory.put(region, layout.pack(codes.values, codes.scale.ravel()))

    def add_vocabulary(self, region: str, name: str, bits: int) -> VocabularyLayout:
        """The layout of a vocabulary of ``bits`` bits per code, kept under its region's name."""
        layout = VocabularyLayout(self.p.word_bytes, self.config.hidden_size, bits)
        if layout.row_words < 2:
            raise TrilobiteError(
                f"{name}: a row of {self.config.hidden_size} codes of {bits} bits is not more "
                f"than a word of {self.p.word_bytes} bytes, which the accelerator's head needs")
        self.vocabularies[region] = layout
        return layout

    def put_angles(self) -> None:
        """The beats of each position: cosines and sines in turn."""
        cosine, sine = rope_tables(self.config, np.arange(self.capacity))
        lanes = self.p.lanes
        parts = [part.reshape(self.capacity, -1, lanes) for part in (cosine, sine)]
        pairs = np.stack(parts, axis=2)
        width = self.words_of(self.config.head_dim) * self.p.word_bytes // 4
        padded = np.zeros((self.capacity, width), np.float32)
        padded[:, :self.config.head_dim] = pairs.reshape(self.capacity, -1)
        self.memory.put("angles", padded)

    def put(self, name: str, array: np.ndarray) -> int:
        """Put ``array`` into memory under a name; its first word."""
        return self.memory.put(name, array).start

    def vector(self, name: str) -> np.ndarray:
        """The weights of a norm, or a bias."""
        value = self.weights(name)
        if isinstance(value, PackedWeight):
            raise TrilobiteError(f"{name} is quantized; norms and biases must be float")
        return flush_array(np.asarray(value, np.float32))

    def bias(self, prefix: str, *linears: str) -> dict[str, Any]:
        """What a MATMUL says of its biases, if it has any: of one linear, or of two in turn."""
        if not self.config.has_bias(linears[0]):
            return {}
        vectors = [self.vector(f"{prefix}{linear}.bias") for linear in linears]
        if linears == ("self_attn.k_proj",) and vectors[0].any():
            raise TrilobiteError(
                f"{prefix}{linears[0]}.bias is not 0: the runtime keeps biases of keys out of its "
                "int8 cache and adds their part to the scores, which the accelerator's attention "
                "does not")
        rows = vectors[0] if len(vectors) == 1 else interleave(
            vectors[0][:, None], vectors[1][:, None], self.p.tlmm.columns)
        return {"bias": 1, "a": self.put(f"{prefix}{linears[0]}.bias", rows)}

    def head_norm(self, name: str) -> dict[str, Any]:
        """What a MATMUL says of the norm of its heads, if the model has one."""
        if not self.config.qk_norm:
            return {}
        return {"norm": 1, "a": self.put(name, self.vector(name)),
                "y": np.float32(self.config.rms_norm_eps),
                "z": np.float32(1 / self.config.head_dim)}

    def matrix(self, name: str) -> Matrix:
        """The weights of a linear."""
        return take_matrix(name, self.weights(name), self.p)

    def quantize(self, source: int, width: int, norm: str | None,
                 read: Sequence[Matrix] = (), last_row: int = 0) -> Descriptor:
        """Rows of activations, in groups as the weights have them that they are ``read`` by."""
        grouping = read[0].grouping if read else Grouping()
        constants: dict[str, Any] = {}
        if norm is not None:
            constants = {"norm": 1, "b": self.put(norm, self.vector(norm)),
                         "x": np.float32(1 / width),
                         "y": np.float32(self.config.rms_norm_eps)}
        return Descriptor(
            Operation.QUANTIZE, a=source, a_stride=self.words_of(width),
            beats=width // self.p.lanes, blocks=(grouping.columns or 0) // self.p.lanes,
            passes=MatrixLayout(self.p, width, grouping).passes, last_row=last_row, **constants)

    def matmul(self, name: str, matrix: Matrix, unit_rows: int, post: Post,
               **fields: Any) -> Descriptor:
        """Put the tiles of a matrix into memory, and say how they are multiplied with."""
        M, K = matrix.values.shape
        layout = MatrixLayout(self.p, K, matrix.grouping)
        # The biases of a tile are read as one row.
        tiling = plan_tiling(layout, name, M, unit_rows,
                             self.p.max_width if "bias" in fields else None)
        self._put_tiles(name, matrix, layout, tiling)
        if layout.groups:
            fields |= {"rows": layout.groups, "beats": layout.group_passes,
                       "digits": matrix.grouping.digits}
        return Descriptor(
            Operation.MATMUL, post=post, passes=layout.passes, blocks=tiling.blocks,
            tiles=tiling.tiles, last_blocks=tiling.last_blocks,
            row_blocks=unit_rows // self.p.tlmm.columns,
            heads=tiling.blocks * self.p.tlmm.columns // unit_rows,
            group=tiling.last_blocks * self.p.tlmm.columns // unit_rows,
            **{"x": matrix.scale, "y": matrix.scale, **fields})

    def _put_tiles(self, name: str, matrix: Matrix, layout: MatrixLayout, tiling: Tiling) -> None:
        columns = self.p.tlmm.columns
        for tile in range(tiling.tiles):
            blocks = tiling.of_tile(tile)
            first = tile * tiling.blocks * columns
            rows = slice(first, first + blocks * columns)
            word = self.put_tile(f"{name}.{tile}", matrix, layout, rows)
            self.program.tiles.append(WeightTile(
                word, layout.words(blocks), layout.beats(blocks), layout.scale_beats(blocks)))

    def put_tile(self, name: str, matrix: Matrix, layout: MatrixLayout, rows: slice) -> int:
        """Put the tile of some rows of a matrix into memory; its first word."""
        return self.put(name, layout.pack(matrix.values[rows], matrix.scales[rows]))

    def layer(self, number: int) -> None:
        config, prefix = self.config, f"model.layers.{number}."
        normed = "sub_norm" if config.sub_norm else "quantize"
        hidden, heads = config.hidden_size, config.num_heads * config.head_dim
        start, middle = self.residual(number), self.memory.regions["middle"].start
        queries, attended, gated = (self.memory.regions[name].start
                                    for name in ("queries", "attended", "gated"))
        region = self.cache.words(self.capacity)
        cache = self.memory.regions["cache"].start + number * config.num_kv_heads * region
        angles = {"b": self.memory.regions["angles"].start,
                  "b_stride": self.words_of(config.head_dim)}
        in_cache: dict[str, Any] = {
            "c": cache, "region": region, "tile_words": self.cache.tile_words,
            "chunks": self.cache.chunks}

        def emit(descriptor: Descriptor, operator: str) -> None:
            self.program.emit(descriptor, operator, number)

        attention = f"{prefix}self_attn."
        rotated = angles | {"d": queries, "d_stride": self.words_of(heads)}
        read = self.matrices(prefix, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        emit(self.quantize(start, hidden, f"{prefix}input_layernorm.weight", read), "input_norm")
        for linear, matrix, post, fields in (
                ("q", read[0], Post.ROTATE,
                 rotated | self.head_norm(f"{attention}q_norm.weight")),
                ("k", read[1], Post.KEYS,
                 angles | in_cache | self.head_norm(f"{attention}k_norm.weight")),
                ("v", read[2], Post.VALUES, in_cache)):
            name = f"{linear}_proj"
            emit(self.matmul(f"{attention}{name}.weight", matrix, config.head_dim, post, **fields,
                             **self.bias(prefix, f"self_attn.{name}")), name)
        emit(Descriptor(
            Operation.ATTEND, a=queries, a_stride=self.words_of(heads), d=attended,
            d_stride=self.words_of(heads), heads=config.num_kv_heads,
            group=config.num_heads // config.num_kv_heads,
            head_words=self.words_of(config.head_dim),
            x=np.float32(1 / np.sqrt(config.head_dim)), **in_cache), "attention")
        norm = f"{prefix}self_attn.attn_sub_norm.weight" if config.sub_norm else None
        read = self.matrices(prefix, "self_attn.o_proj")
        emit(self.quantize(attended, heads, norm, read), f"attn_{normed}")
        emit(self.added(prefix, "self_attn.o_proj", read[0], start, middle), "o_proj")

        read = self.matrices(prefix, "mlp.gate_proj", "mlp.up_proj")
        norm = f"{prefix}post_attention_layernorm.weight"
        emit(self.quantize(middle, hidden, norm, read), "post_norm")
        emit(self.gated(prefix, read[0], read[1], gated), "gate_up_proj")
        norm = f"{prefix}mlp.ffn_sub_norm.weight" if config.sub_norm else None
        read = self.matrices(prefix, "mlp.down_proj")
        emit(self.quantize(gated, config.intermediate_size, norm, read), f"ffn_{normed}")
        emit(self.added(prefix, "mlp.down_proj", read[0], middle, self.residual(number + 1)),
             "down_proj")

    def matrices(self, prefix: str, *linears: str) -> list[Matrix]:
        """The weights of linears that read the same activations."""
        found = [self.matrix(f"{prefix}{linear}.weight") for linear in linears]
        for linear, matrix in zip(linears, found, strict=True):
            if matrix.grouping.columns != found[0].grouping.columns:
                raise TrilobiteError(
                    f"{prefix}{linear}.weight has {matrix.grouping}, and "
                    f"{prefix}{linears[0]}.weight {found[0].grouping}: weights that read the same "
                    "activations must have groups of one size")
        return found

    def added(self, prefix: str, linear: str, matrix: Matrix, residual: int,
              out: int) -> Descriptor:
        """A matmul whose outputs are added to the rows at ``residual``."""
        stride = self.words_of(self.config.hidden_size)
        return self.matmul(f"{prefix}{linear}.weight", matrix, self.p.tlmm.columns, Post.ADD,
                           b=residual, b_stride=stride, d=out, d_stride=stride,
                           **self.bias(prefix, linear))

    def gated(self, prefix: str, gate: Matrix, up: Matrix, out: int) -> Descriptor:
        columns = self.p.tlmm.columns
        if gate.grouping != up.grouping:
            raise TrilobiteError(
                f"{prefix}mlp.up_proj.weight has {up.grouping}, and {prefix}mlp.gate_proj.weight "
                f"{gate.grouping}: their blocks alternate, and must be of one kind")
        scales = gate.scales if gate.grouping.columns is None else interleave(
            gate.scales, up.scales, columns)
        both = Matrix(interleave(gate.values, up.values, columns), scales, gate.grouping)
        return self.matmul(
            f"{prefix}mlp.gate_up", both, 2 * columns, Post.GATE, d=out, y=up.scale,
            d_stride=self.words_of(self.config.intermediate_size),
            silu=int(self.config.activation == "silu"),
            **self.bias(prefix, "mlp.gate_proj", "mlp.up_proj"))

    def _vocabulary_descriptor(self, operation: Operation, region: str,
                               **fields: Any) -> Descriptor:
        layout = self.vocabularies[region]
        return Descriptor(operation, c=self.memory.regions[region].start,
                          region=layout.group_words, tile_words=layout.row_words,
                          four_bits=int(layout.bits == 4), **fields)

    def _put_lists(self) -> None:
        self.memory.put("program", packed_list(self.program.descriptors))
        tiles = b"".join(tile.pack() for tile in self.program.tiles)
        self.memory.put("tiles", np.frombuffer(tiles, np.uint8))


def _vocabulary_weight(name: str,
                       weight: np.ndarray | PackedWeight) -> tuple[PackedWeight, int]:
    """An embedding or head, if the accelerator can take it, and the bits of its codes."""
    if isinstance(weight, PackedWeight):
        form = weight.format
        if isinstance(form, Int8):
            return weight, 8
        if isinstance(form, Int4) and form.symmetric and form.group_size is None:
            return weight, 4
    raise TrilobiteError(
        f"{name} is neither int8 nor symmetric int4 with one scale per row, as the accelerator's "
        f"embedding and head are; quantize the model with --embedding int8, or with "
        f"--tensor-format '{name}=int4,group_size=row'")
