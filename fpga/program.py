"""A compiled model: its lists, and what lies in the accelerator's memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..model import ModelConfig
from .accelerator_parameters import AcceleratorParameters
from .descriptors import DESCRIPTOR_BYTES, Descriptor, Origin, WeightTile
from .memory_map import MemoryMap

__all__ = ["FINAL_NORM", "Program", "packed_list"]

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

    @property
    def step_tokens(self) -> int:
        """Most tokens of a step: the widest rows of all of them must fit the activation buffer."""
        passes = max((descriptor.passes for descriptor in self.descriptors), default=1)
        return min(self.parameters.max_tokens, self.parameters.activation_beats // passes)

    def first_layers(self, layers: int) -> tuple[int, int]:
        """Put a list of descriptors for the first ``layers`` layers alone beside the whole one.

        Its first word, and how many of ``tiles`` it uses. Not for programs that keep residuals.
        """
        residual = self.word(f"residual.{layers % 2}")
        chosen = [replace(descriptor, a=residual) if origin.operator == FINAL_NORM else descriptor
                  for descriptor, origin in zip(self.descriptors, self.origins, strict=True)
                  if origin.layer is None or origin.layer < layers]
        region = self.memory.put(f"program.{layers}", packed_list(chosen))
        return region.start, sum(descriptor.tiles for descriptor in chosen)


def packed_list(descriptors: list[Descriptor]) -> np.ndarray:
    """A list of descriptors as its bytes lie in memory."""
    packed = b"".join(descriptor.pack() for descriptor in descriptors)
    # The fetcher reads one descriptor ahead of END at the most: a place for it.
    return np.frombuffer(packed + bytes(DESCRIPTOR_BYTES), np.uint8)
