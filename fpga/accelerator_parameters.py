"""How large an accelerator is: the maxima that every model on it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..hw.attention.attention_parameters import AttentionParameters
from ..hw.matmul.engine_parameters import TlmmParameters
from ..hw.matmul.scale_codes import CODE_BITS
from ..hw.weights.weight_layout import WeightLayout
from ..model import Activation
from ..quant.formats.groups import GROUP_SIZES
from .descriptors import FIELDS

__all__ = ["ACTIVATIONS", "CHOICES", "RANGES", "SWITCHES", "AcceleratorParameters"]

ACTIVATIONS: tuple[Activation, ...] = ("silu", "relu2")   # as ``ModelConfig.activation`` names them
_BURST_BYTES = 4096   # ``hw.memory.axi.BURST_BYTES``, which needs Amaranth
_CODE_BITS = 8        # of an activation into a matmul

# What a parameter can be. Most of the upper ends are those of a descriptor's field, or of a run's.
CHOICES = {"word_bytes": (4, 8, 16, 32, 64), "lanes": (1, 2, 4), "ports": (1, 2, 4)}
_LEAST_PORT = 4   # bytes of an AXI4 port
RANGES = {
    "queries": (1, 64), "max_width": (1, 65_535), "max_head_dim": (1, 4_096),
    "max_heads": (1, 255), "max_context": (1, (1 << 24) - 1), "max_vocabulary": (1, (1 << 24) - 1),
    "max_tokens": (1, 65_535), "activation_beats": (1, 1 << 24), "weight_beats": (2, (1 << 24) - 1),
    "address_width": (12, 38), "max_burst": (2, 256), "outstanding": (1, 256),
    "axi_cache": (0, 15), "axi_prot": (0, 7), "scale_lanes": (0, 64),
    "scale_beats": (0, (1 << 24) - 1),
}
SWITCHES = ("biases", "head_norms", "factor_registers")


@dataclass(frozen=True)
class AcceleratorParameters:
    """Parameters of one accelerator.

    Parameters
    ----------
    tlmm : TlmmParameters
        The matmul engine. Its ``columns`` and its T * G must be multiples of ``lanes``, its
        activations have 8 bits, and it takes rows of ``max_width``.
    word_bytes : int
        Bytes of a word of the memory port.
    lanes : int
        Float32 elements per cycle of everything between the matmuls.
    queries : int
        Queries that attention takes at once.
    max_width : int
        Longest row of activations, in elements: hidden or feed-forward size. A multiple of
        ``lanes``.
    max_head_dim, max_heads, max_context, max_vocabulary : int
        The largest values that a model may have. ``max_head_dim`` is a multiple of the smaller of
        ``word_bytes`` and 32.
    max_tokens : int
        Most tokens of a step (of a prefill).
    activation_beats : int
        Depth of the activation buffer: beats of T * G.
    weight_beats : int
        Depth of the weight buffer: beats of T * G * C.
    address_width : int
        Bits of a byte address. The number of a word has at most 32 bits.
    max_burst : int
        Words of the longest burst on the memory port: a power of two, at most 4 KiB.
    outstanding : int
        Bursts that may be under way on the memory port.
    activations : tuple[str, ...]
        The activation functions of the feed-forward gate, of ``ACTIVATIONS``: SiLU takes 25
        multipliers of 18 bits more than squared ReLU alone.
    biases : bool
        Biases can be added to the outputs of matmuls.
    head_norms : bool
        Heads of queries and keys can be normed before they are turned.
    factor_registers : bool
        The factors of attention and head are kept in registers between block RAMs and multipliers:
        a cycle of latency, for devices on which one clock does not hold both.
    scale_lanes, scale_beats : int
        Outputs whose sums over a group of weights are scaled and added at once, a multiple of
        ``lanes`` that divides ``columns``; depth of the buffer of these scales, in beats of as
        many. 0, both: weights are ternary with a scale for each matrix.
    axi_cache, axi_prot : int
        AxCACHE and AxPROT of every burst, as of ``hw.memory.axi.BurstAttributes``.
    ports : int
        Ports of memory, each of which has a part of every word: ``hw.memory.striped_port``. Images
        do not depend on it.

    Raises
    ------
    ValueError
        A parameter is not one of its ``CHOICES``, is no whole number in its range of ``RANGES``, or
        contradicts another one.
    """

    tlmm: TlmmParameters
    word_bytes: int
    lanes: int
    queries: int
    max_width: int
    max_head_dim: int
    max_heads: int
    max_context: int
    max_vocabulary: int
    max_tokens: int
    activation_beats: int
    weight_beats: int
    address_width: int = 32
    max_burst: int = 16
    outstanding: int = 8
    activations: tuple[Activation, ...] = ACTIVATIONS
    axi_cache: int = 0b0011
    axi_prot: int = 0
    biases: bool = False
    head_norms: bool = False
    factor_registers: bool = False
    scale_lanes: int = 0
    scale_beats: int = 0
    ports: int = 1

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                said = ", ".join(map(str, choices[:-1]))
                raise ValueError(
                    f"{name} must be {said} or {choices[-1]}, not {getattr(self, name)!r}")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}, not "
                                 f"{value!r}")
        for name in SWITCHES:
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.word_bytes < _LEAST_PORT * self.ports and self.ports > 1:
            raise ValueError(f"ports = {self.ports} is too many for words of {self.word_bytes} "
                             f"bytes: a port has {_LEAST_PORT} bytes of each at least")
        self._check_activations()
        self._check_engine()
        self._check_scales()
        if self.max_width % self.lanes:
            raise ValueError(f"max_width = {self.max_width} is not a multiple of {self.lanes} "
                             "lanes")
        self.attention.check_head_dim(self.max_head_dim)   # its constructor refuses what is wrong
        longest = _BURST_BYTES // self.word_bytes
        if self.max_burst & (self.max_burst - 1) or self.max_burst > longest:
            raise ValueError(f"max_burst must be a power of two up to {longest} words of "
                             f"{self.word_bytes} bytes, not {self.max_burst}")
        most = FIELDS["a"] + (self.word_bytes - 1).bit_length()
        if self.address_width > most:
            raise ValueError(f"address_width must be at most {most} with words of "
                             f"{self.word_bytes} bytes, not {self.address_width}")

    def _check_activations(self) -> None:
        chosen = self.activations
        if (not isinstance(chosen, tuple | list) or not chosen
                or any(name not in ACTIVATIONS for name in chosen)):
            raise ValueError(f"activations must be a list of one or more of "
                             f"{', '.join(ACTIVATIONS)}, not {chosen!r}")
        # Equal whatever their order, and a key of caches.
        object.__setattr__(self, "activations",
                           tuple(name for name in ACTIVATIONS if name in chosen))

    def _check_engine(self) -> None:
        tlmm = self.tlmm
        for name, value in (("columns", tlmm.columns), ("T * G", tlmm.pass_length)):
            if value % self.lanes:
                raise ValueError(f"{name} = {value} is not a multiple of {self.lanes} lanes")
        if tlmm.activation_width != _CODE_BITS:
            raise ValueError(f"activation_width of the engine must be {_CODE_BITS}, the bits of "
                             f"the quantizer's codes, not {tlmm.activation_width}")
        if tlmm.max_k < self.max_width:
            raise ValueError(f"max_k = {tlmm.max_k} of the engine is less than max_width = "
                             f"{self.max_width}, the longest row that it must take")

    def _check_scales(self) -> None:
        lanes = self.scale_lanes
        if bool(lanes) != bool(self.scale_beats):
            raise ValueError(f"scale_lanes = {lanes} and scale_beats = {self.scale_beats} must "
                             "both be 0, or neither")
        if lanes and (lanes % self.lanes or self.tlmm.columns % lanes
                      or 8 * self.word_bytes % (CODE_BITS * lanes)):
            raise ValueError(
                f"scale_lanes = {lanes} must be a multiple of {self.lanes} lanes, and divide "
                f"{self.tlmm.columns} columns and the {self.word_bytes // 2} scales of a word")

    @cached_property
    def attention(self) -> AttentionParameters:
        """The attention unit."""
        return AttentionParameters(self.word_bytes, self.queries, self.lanes, self.max_head_dim,
                                   self.max_context, 1 + self.factor_registers)

    @cached_property
    def weights(self) -> WeightLayout:
        """How the engine's weights lie in memory."""
        return WeightLayout(self.tlmm, self.word_bytes)

    @property
    def max_row_passes(self) -> int:
        """Passes of the longest row of activations, in groups that are filled up to whole ones."""
        tlmm = self.tlmm
        groups = GROUP_SIZES if self.scale_beats else ()
        return max(tlmm.max_passes, *(self.max_width // size * tlmm.passes(size)
                                      for size in groups), 0)

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return self.max_width // self.lanes

    @property
    def word_beats(self) -> int:
        """Beats of float32 numbers in a word."""
        return self.word_bytes // (4 * self.lanes)
