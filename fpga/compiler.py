"""The compiler: it lays a ternary model out in the accelerator's memory and writes its program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import TrilobiteError
from ..hw.attention.cache_layout import CacheLayout
from ..hw.vocabulary.vocabulary_layout import VocabularyLayout
from ..model import ModelConfig
from ..numerics import flush_array, rope_tables
from ..quant.formats import Int4, Int8, Ternary
from ..quant.formats.base import PackedWeight
from .accelerator_parameters import AcceleratorParameters
from .descriptors import DESCRIPTOR_BYTES, Descriptor, Operation, Origin, Post, WeightTile
from .memory_map import MemoryMap
from .tiling import Tiling, interleave, plan_tiling

__all__ = ["Program", "compile_model"]

Weights = Callable[[str], "np.ndarray | PackedWeight"]

FINAL_NORM = "final_norm"   # reads the residual stream after the last layer


@dataclass
class Program:
    """A model in the accelerator's memory.

    Attributes
    ----------
    parameters : AcceleratorParameters
        The accelerator that it is made for.
    config : ModelConfig
        The model.
    memory : MemoryMap
        Regions: ``tokens`` (int32, by position), ``program``, ``tiles``, ``norms``, ``angles``,
        ``vocabulary`` (and ``head``), ``weights``, ``cache``, ``residual.<n>`` (before layer n; the
        last one after all layers), ``middle``, ``queries``, ``attended``, ``gated``, ``logits``.
    descriptors, tiles : list
        The program's lists.
    origins : list
        The operator and the layer of each descriptor, in their order.
    layers : int
        Layers that it runs.
    """

    parameters: AcceleratorParameters
    config: ModelConfig
    memory: MemoryMap
    descriptors: list[Descriptor] = field(default_factory=list)
    tiles: list[WeightTile] = field(default_factory=list)
    layers: int = 0
    origins: list[Origin] = field(default_factory=list)

    def emit(self, descriptor: Descriptor, operator: str, layer: int | None = None) -> None:
        """Append a descriptor, and what it is there for."""
        self.descriptors.append(descriptor)
        self.origins.append(Origin(operator, layer))

    def word(self, region: str) -> int:
        """First word of a region."""
        return self.memory.regions[region].start

    @property
    def row_words(self) -> int:
        """Words of a row of the residual stream."""
        return -(-4 * self.config.hidden_size // self.parameters.word_bytes)

    def first_layers(self, layers: int) -> tuple[int, int]:
        """Put a list of descriptors for the first ``layers`` layers alone beside the whole one.

        Its first word, and how many of ``tiles`` it uses. Not for programs that keep residuals.
        """
        residual = self.word(f"residual.{layers % 2}")
        chosen = [replace(descriptor, a=residual) if origin.operator == FINAL_NORM else descriptor
                  for descriptor, origin in zip(self.descriptors, self.origins, strict=True)
                  if origin.layer is None or origin.layer < layers]
        region = self.memory.put(f"program.{layers}", _packed(chosen))
        return region.start, sum(descriptor.tiles for descriptor in chosen)


def compile_model(config: ModelConfig, weights: Weights, parameters: AcceleratorParameters,
                  capacity: int, layers: int | None = None,
                  keep_residuals: bool = False) -> Program:
    """Lay out a model and write its program.

    Parameters
    ----------
    config, weights
        The model, and each of its tensors by name; one at a time is in memory besides the image.
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
        _check_model(config, parameters, capacity)
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

    def vector(self, name: str) -> int:
        """Put a norm's weights into memory; their first word."""
        value = self.weights(name)
        if isinstance(value, PackedWeight):
            raise TrilobiteError(f"{name} is quantized; norms must be float")
        return self.memory.put(name, flush_array(np.asarray(value, np.float32))).start

    def trits(self, name: str) -> tuple[np.ndarray, np.float32]:
        weight = self.weights(name)
        if not isinstance(weight, PackedWeight) or not isinstance(weight.format, Ternary):
            raise TrilobiteError(
                f"{name} is not ternary, and the accelerator multiplies ternary weights; quantize "
                "the model with --format ternary")
        codes = weight.codes()
        return codes.values, np.float32(codes.scale[0, 0])

    def quantize(self, source: int, width: int, norm: str | None, last_row: int = 0) -> Descriptor:
        constants: dict[str, Any] = {}
        if norm is not None:
            constants = {"norm": 1, "b": self.vector(norm), "x": np.float32(1 / width),
                         "y": np.float32(self.config.rms_norm_eps)}
        return Descriptor(
            Operation.QUANTIZE, a=source, a_stride=self.words_of(width),
            beats=width // self.p.lanes,
            passes=self.p.tlmm.passes(width), last_row=last_row, **constants)

    def matmul(self, name: str, trits: np.ndarray, unit_rows: int, scales: tuple, post: Post,
               **fields: Any) -> Descriptor:
        """Put the tiles of a matrix into memory, and say how they are multiplied with."""
        M, K = trits.shape
        tiling = plan_tiling(self.p, name, M, K, unit_rows)
        self._put_tiles(name, trits, tiling)
        return Descriptor(
            Operation.MATMUL, post=post, passes=self.p.tlmm.passes(K), blocks=tiling.blocks,
            tiles=tiling.tiles, last_blocks=tiling.last_blocks, x=scales[0], y=scales[-1],
            row_blocks=unit_rows // self.p.tlmm.columns,
            heads=tiling.blocks * self.p.tlmm.columns // unit_rows,
            group=tiling.last_blocks * self.p.tlmm.columns // unit_rows, **fields)

    def _put_tiles(self, name: str, trits: np.ndarray, tiling: Tiling) -> None:
        columns, layout = self.p.tlmm.columns, self.p.weights
        passes = self.p.tlmm.passes(trits.shape[1])
        for tile in range(tiling.tiles):
            blocks = tiling.of_tile(tile)
            first = tile * tiling.blocks * columns
            image = layout.pack(trits[first:first + blocks * columns])
            region = self.memory.put(f"{name}.{tile}", image)
            self.program.tiles.append(WeightTile(region.start, len(image), blocks * passes))

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

        emit(self.quantize(start, hidden, f"{prefix}input_layernorm.weight"), "input_norm")
        for linear, post, fields in (
                ("q", Post.ROTATE, angles | {"d": queries, "d_stride": self.words_of(heads)}),
                ("k", Post.KEYS, angles | in_cache), ("v", Post.VALUES, in_cache)):
            name = f"{prefix}self_attn.{linear}_proj.weight"
            trits, scale = self.trits(name)
            emit(self.matmul(name, trits, config.head_dim, (scale,), post, **fields),
                 f"{linear}_proj")
        emit(Descriptor(
            Operation.ATTEND, a=queries, a_stride=self.words_of(heads), d=attended,
            d_stride=self.words_of(heads), heads=config.num_kv_heads,
            group=config.num_heads // config.num_kv_heads,
            head_words=self.words_of(config.head_dim),
            x=np.float32(1 / np.sqrt(config.head_dim)), **in_cache), "attention")
        norm = f"{prefix}self_attn.attn_sub_norm.weight" if config.sub_norm else None
        emit(self.quantize(attended, heads, norm), f"attn_{normed}")
        emit(self.added(f"{prefix}self_attn.o_proj.weight", start, middle), "o_proj")

        emit(self.quantize(middle, hidden, f"{prefix}post_attention_layernorm.weight"), "post_norm")
        emit(self.gated(prefix, gated), "gate_up_proj")
        norm = f"{prefix}mlp.ffn_sub_norm.weight" if config.sub_norm else None
        emit(self.quantize(gated, config.intermediate_size, norm), f"ffn_{normed}")
        emit(self.added(f"{prefix}mlp.down_proj.weight", middle, self.residual(number + 1)),
             "down_proj")

    def added(self, name: str, residual: int, out: int) -> Descriptor:
        """A matmul whose outputs are added to the rows at ``residual``."""
        trits, scale = self.trits(name)
        stride = self.words_of(self.config.hidden_size)
        return self.matmul(name, trits, self.p.tlmm.columns, (scale,), Post.ADD,
                           b=residual, b_stride=stride, d=out, d_stride=stride)

    def gated(self, prefix: str, out: int) -> Descriptor:
        gate, gate_scale = self.trits(f"{prefix}mlp.gate_proj.weight")
        up, up_scale = self.trits(f"{prefix}mlp.up_proj.weight")
        columns = self.p.tlmm.columns
        both = interleave(gate, up, columns)
        return self.matmul(
            f"{prefix}mlp.gate_up", both, 2 * columns, (gate_scale, up_scale), Post.GATE, d=out,
            d_stride=self.words_of(self.config.intermediate_size),
            silu=int(self.config.activation == "silu"))

    def _vocabulary_descriptor(self, operation: Operation, region: str,
                               **fields: Any) -> Descriptor:
        layout = self.vocabularies[region]
        return Descriptor(operation, c=self.memory.regions[region].start,
                          region=layout.group_words, tile_words=layout.row_words,
                          four_bits=int(layout.bits == 4), **fields)

    def _put_lists(self) -> None:
        self.memory.put("program", _packed(self.program.descriptors))
        tiles = b"".join(tile.pack() for tile in self.program.tiles)
        self.memory.put("tiles", np.frombuffer(tiles, np.uint8))


def _packed(descriptors: list[Descriptor]) -> np.ndarray:
    packed = b"".join(descriptor.pack() for descriptor in descriptors)
    # The fetcher reads one descriptor ahead of END at the most: a place for it.
    return np.frombuffer(packed + bytes(DESCRIPTOR_BYTES), np.uint8)


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


# What lies in the rotary tables of the image and asks nothing of the hardware.
_TABLES = ("rope_linear", "rope_llama3", "rope_yarn")


def _check_model(config: ModelConfig, p: AcceleratorParameters, capacity: int) -> None:
    """Raise ``TrilobiteError`` for what the hardware does not have or is too small for."""
    problems = []
    if any(map(config.has_bias, ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj"))):
        problems.append("it has biases")
    problems += [f"it has {words}" for name, words in config.peculiarities().items()
                 if name not in _TABLES]
    sizes = {
        "hidden_size": (config.hidden_size, p.max_width),
        "intermediate_size": (config.intermediate_size, p.max_width),
        "num_heads * head_dim": (config.num_heads * config.head_dim, p.max_width),
        "head_dim": (config.head_dim, p.max_head_dim),
        "num_heads": (config.num_heads, p.max_heads),
        "vocab_size": (config.vocab_size, p.max_vocabulary),
        "the context": (capacity, p.max_context),
    }
    problems += [f"{name} is {value}, and at most {most} fit"
                 for name, (value, most) in sizes.items() if value > most]
    chunk = p.attention.chunk
    if config.head_dim % chunk:
        problems.append(f"head_dim is {config.head_dim}, which is no multiple of {chunk}")
    if config.activation not in p.activations:
        problems.append(f"its activation function is {config.activation}, and the gate computes "
                        f"{' and '.join(p.activations)}")
    columns = p.tlmm.columns
    rows = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_heads * head_dim": config.num_heads * config.head_dim,
        "num_kv_heads * head_dim": config.num_kv_heads * config.head_dim,
    }
    problems += [f"{name} is {value}, which is no multiple of the engine's {columns} columns"
                 for name, value in rows.items() if value % columns]
    if problems:
        raise TrilobiteError("The accelerator cannot run this model: " + "; ".join(problems))
