"""How large an accelerator is: the maxima that every model on it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..hw.attention.parameters import AttentionParameters
from ..hw.matmul.parameters import TlmmParameters
from ..hw.weights.layout import WeightLayout

__all__ = ["AcceleratorParameters"]


@dataclass(frozen=True)
class AcceleratorParameters:
    """Parameters of one accelerator.

    Parameters
    ----------
    tlmm : TlmmParameters
        The matmul engine. Its ``columns`` must be a multiple of ``lanes``.
    word_bytes : int
        Bytes of a word of the memory port: 16, 32 or 64.
    lanes : int
        Float32 elements per cycle of everything between the matmuls: 1, 2 or 4.
    queries : int
        Queries that attention takes at once.
    max_width : int
        Longest row of activations, in elements: hidden or feed-forward size.
    max_head_dim, max_heads, max_context, max_vocabulary : int
        Of the models.
    max_tokens : int
        Tokens of a step (of a prefill).
    activation_beats : int
        Depth of the activation buffer: beats of T * G.
    weight_beats : int
        Depth of the weight buffer: beats of T * G * C.
    address_width : int
        Bits of a byte address.
    max_burst, outstanding : int
        Of the memory port.

    Raises
    ------
    ValueError
        A parameter contradicts another one.
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

    def __post_init__(self) -> None:
        if self.word_bytes not in (16, 32, 64):
            raise ValueError(f"word_bytes must be 16, 32 or 64, not {self.word_bytes!r}")
        if self.lanes not in (1, 2, 4):
            raise ValueError(f"lanes must be 1, 2 or 4, not {self.lanes!r}")
        for name, value in (("columns", self.tlmm.columns), ("T * G", self.tlmm.pass_length),
                            ("max_width", self.max_width)):
            if value % self.lanes:
                raise ValueError(f"{name} = {value} is not a multiple of {self.lanes} lanes")

    @cached_property
    def attention(self) -> AttentionParameters:
        """The attention unit."""
        return AttentionParameters(self.word_bytes, self.queries, self.lanes, self.max_head_dim,
                                   self.max_context)

    @cached_property
    def weights(self) -> WeightLayout:
        """How the engine's weights lie in memory."""
        return WeightLayout(self.tlmm, self.word_bytes)

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return self.max_width // self.lanes

    @property
    def word_beats(self) -> int:
        """Beats of float32 numbers in a word."""
        return self.word_bytes // (4 * self.lanes)
