"""Matrices that a family stores as one: their rows stand one after the other."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from ...model import ModelConfig
from ..formats import PackedWeight
from .files.locate import StoredEntry
from .files.source import PlainTensor, TensorInfo, TensorSource

__all__ = ["FUSED", "fused_sources"]

# By family: the stored matrix, and the linears whose rows it holds, in their order.
FUSED = {
    "phi3": {
        "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
    },
}


class RowsOf(TensorSource):
    """Rows ``first`` and after of a stored matrix of floats, as a matrix ``name`` of its own."""

    def __init__(self, name: str, shape: tuple[int, ...], whole: PlainTensor, first: int) -> None:
        stored = whole.info
        nbytes = stored.nbytes // stored.shape[0] * shape[0]
        super().__init__(name, TensorInfo(shape, stored.dtype, nbytes, stored.file))
        self._whole, self._first = whole, first

    @override
    def rows(self, start: int, stop: int) -> np.ndarray:
        return self._whole.rows(self._first + start, self._first + stop)

    @override
    def check_numbers(self, start: int, stop: int) -> None:
        self._whole.check_numbers(self._first + start, self._first + stop)

    @override
    def weight(self) -> PackedWeight | np.ndarray:
        return self.read()


def fused_sources(
    config: ModelConfig, entries: dict[str, StoredEntry]
) -> tuple[dict[str, TensorSource], list[str]]:
    """Sources of the linears that ``entries`` holds fused, and the stored names that they take.

    Raises ``CheckpointError`` on a shape or type that is wrong.
    """
    sources: dict[str, TensorSource] = {}
    taken = []
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}."
        for fused, names in FUSED.get(config.family, {}).items():
            stored = f"{prefix}{fused}.weight"
            if stored not in entries:
                continue
            shapes = [config.linear_shape(name) for name in names]
            rows = sum(shape[0] for shape in shapes)
            whole = PlainTensor(stored, (rows, shapes[0][1]), entries[stored])
            first = 0
            for name, shape in zip(names, shapes, strict=True):
                full = f"{prefix}{name}.weight"
                if full in entries:
                    raise CheckpointError(
                        f"{entries[full]} is also part of {entries[stored]}; drop one"
                    )
                sources[full] = RowsOf(full, shape, whole, first)
                first += shape[0]
            taken.append(stored)
    return sources, taken
