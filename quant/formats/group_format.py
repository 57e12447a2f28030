"""Formats whose weights are linear in a few numbers per group: what the methods ask of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from .base import Format

__all__ = ["LARGEST_FLOAT16", "SMALLEST_FLOAT16", "GroupFormat"]

LARGEST_FLOAT16 = 65504.0
SMALLEST_FLOAT16 = 2.0**-24


class GroupFormat(Format):
    """A weight is the sum, over a group's few parameters, of what its code counts of each.

    INT4's only parameter is the scale, and a code counts ``code - zero point`` of it; HLQ has a
    scale per bit and an offset, of which a code counts its bits and 1. So for given codes the
    parameters that make the error of the outputs smallest are a least-squares solution, whatever
    the format.

    The parameters of a group are what ``Codes.scale`` holds for it, float32: [...] where there is
    one, [..., parameters] where there are more. They broadcast to the weights that they belong to.
    """

    parameters: ClassVar[int] = 1

    group_size: int | None

    @property
    def code_type(self) -> type:
        """The dtype of ``Codes.values``."""
        return np.int8

    @abstractmethod
    def round(
        self, weights: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        """Codes of ``weights``, nearest under parameters that broadcast to them."""

    @abstractmethod
    def restore(
        self, values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None
    ) -> np.ndarray:
        """Float32 weights of codes, inverse of ``round`` up to its rounding."""

    @abstractmethod
    def counts(self, values: np.ndarray, zero_point: np.ndarray | None) -> np.ndarray:
        """Float64 [..., parameters]: how often each parameter is in the weight of a code."""

    def storable(self, parameters: np.ndarray) -> np.ndarray:
        """The float32 nearest to ``parameters`` float64 [..., parameters] that can be stored."""
        clipped = np.clip(parameters, SMALLEST_FLOAT16, LARGEST_FLOAT16)
        return clipped.astype(np.float16).astype(np.float32)
