"""How another tool stores linear weights: which tensors make up one, and what reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from .files.locate import StoredEntry
from .files.source import TensorSource

__all__ = ["Scheme"]


class Scheme(ABC):
    """One tool's storage, as its ``quantization_config`` describes it."""

    @abstractmethod
    def parts(self, name: str, stored: Mapping[str, StoredEntry]) -> dict[str, str]:
        """The stored tensors of linear weight ``name``, by role; none if it is stored as floats.

        ``stored`` has all tensors of the checkpoint; one that ought to be there and is not will
        be named as missing.
        """

    @abstractmethod
    def source(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry]
    ) -> TensorSource:
        """What reads them; raises ``CheckpointError`` if shapes or types do not fit."""
