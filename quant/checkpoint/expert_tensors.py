r"""The tensors of experts: under other names, all experts in one, or packed in MXFP4.

==============================  ==================================================================
stored                          becomes, of each expert e
==============================  ==================================================================
block_sparse_moe.experts.e.w1   ``mlp.experts.e.gate_proj`` (w2: down_proj, w3: up_proj)
gate_up_proj [E, 2 I, H]        ``gate_proj``, the first I rows, and ``up_proj``
down_proj [E, H, I]             ``down_proj``
gate_up_proj [E, H, 2 I]        gpt-oss: ``gate_up_proj`` [2 I, H], its transpose
down_proj [E, I, H]             gpt-oss: ``down_proj`` [H, I], its transpose
\*_blocks [E, M, K / 32, 16]     gpt-oss: the packed bytes of MXFP4, of the even column's code low
\*_scales [E, M, K / 32]         gpt-oss: the exponents of its scales
\*_bias [E, M]                   gpt-oss: ``*.bias`` [M]
==============================  ==================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from ...model import Experts, ModelConfig
from ..formats import Format, Mxfp4, PackedWeight
from .files.floats import check_finite, to_float32
from .files.locate import StoredEntry
from .files.source import FLOATS, TensorInfo, TensorSource, check_entry
from .quantization import Quantization

__all__ = [
    "TransposedTensor", "expert_entries", "expert_name", "is_transposed", "mxfp4_formats",
]

_MIXTRAL = re.compile(r"\.block_sparse_moe\.(?:experts\.(\d+)\.(w[123])|gate)\.weight$")
_MIXTRAL_MATRICES = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}


def expert_name(name: str) -> str:
    """The canonical name of a tensor that may have Mixtral's or gpt-oss's name."""
    return _MIXTRAL.sub(_of_mixtral, name).replace(".mlp.router.", ".mlp.gate.")


def _of_mixtral(found: re.Match[str]) -> str:
    if found[1] is None:
        return ".mlp.gate.weight"
    return f".mlp.experts.{found[1]}.{_MIXTRAL_MATRICES[found[2]]}.weight"


def expert_entries(
    config: ModelConfig, entries: dict[str, StoredEntry]
) -> dict[str, StoredEntry]:
    """``entries`` with those of single experts instead of those of all.

    Raises ``CheckpointError`` on a shape or type that is wrong, or experts that are there twice.
    """
    if config.experts is None:
        return entries
    result = dict(entries)
    for layer in range(config.num_layers):
        if config.has_experts(layer):
            prefix = f"model.layers.{layer}.mlp.experts."
            for stored, shape, dtypes, pieces in _layouts(config.experts, config.hidden_size):
                if (whole := result.pop(prefix + stored, None)) is not None:
                    check_entry(whole, shape, dtypes)
                    _cut(whole, config.experts.count, prefix, pieces, result)
    return result


def _cut(
    whole: StoredEntry, count: int, prefix: str, pieces: list[tuple[str, tuple[int, ...]]],
    entries: dict[str, StoredEntry],
) -> None:
    """Add the ``pieces``, name and shape, of each of ``count`` experts to ``entries``."""
    for index in range(count * len(pieces)):
        expert, place = divmod(index, len(pieces))
        name, shape = pieces[place]
        full = f"{prefix}{expert}.{name}"
        if full in entries:
            raise CheckpointError(f"{entries[full]} is also part of {whole}; drop one")
        entries[full] = StoredEntry(whole.file, whole.file.piece(whole.name, index, shape))


_Layout = tuple[str, tuple[int, ...], tuple[str, ...], list[tuple[str, tuple[int, ...]]]]


def _layouts(experts: Experts, H: int) -> list[_Layout]:
    """What may be stored for all experts: name, shape, types, and an expert's pieces of it."""
    E, I = experts.count, experts.intermediate_size   # noqa: E741   as in the table above
    if not experts.joined:
        return [
            ("gate_up_proj", (E, 2 * I, H), FLOATS,
             [("gate_proj.weight", (I, H)), ("up_proj.weight", (I, H))]),
            ("down_proj", (E, H, I), FLOATS, [("down_proj.weight", (H, I))]),
        ]
    layouts: list[_Layout] = []
    for name, M, K in (("gate_up_proj", 2 * I, H), ("down_proj", H, I)):
        blocks = K // Mxfp4.block
        layouts += [
            (name, (E, K, M), FLOATS, [(f"{name}.weight", (K, M))]),
            (f"{name}_bias", (E, M), FLOATS, [(f"{name}.bias", (M,))]),
            (f"{name}_blocks", (E, M, blocks, 16), ("U8",),
             [(f"{name}.weight_packed", (M, 16 * blocks))]),
            (f"{name}_scales", (E, M, blocks), ("U8",), [(f"{name}.weight_scale", (M, blocks))]),
        ]
    return layouts


def mxfp4_formats(config: ModelConfig) -> Mapping[str, Format]:
    """The formats of a model all of whose experts are stored in MXFP4."""
    return {name: Mxfp4() for name in config.linear_weights() if ".mlp.experts." in name}


def is_transposed(config: ModelConfig, quantization: Quantization, name: str) -> bool:
    """Whether a weight that no format packs is the transpose of what is stored."""
    joined = config.experts is not None and config.experts.joined
    return joined and quantization.stated is None and (
        ".mlp.experts." in name and name.endswith(".weight"))


class TransposedTensor(TensorSource):
    """A matrix [M, K] of floats of which the transpose [K, M] is stored."""

    def __init__(self, name: str, shape: tuple[int, int], entry: StoredEntry) -> None:
        check_entry(entry, shape[::-1], FLOATS)
        stored = entry.tensor
        super().__init__(name, TensorInfo(shape, stored.dtype, stored.nbytes, entry.file.path))
        self._entry = entry

    @override
    def rows(self, start: int, stop: int) -> np.ndarray:
        stored = self._entry.file.read(self._entry.name)
        check_finite(self._entry, whole := to_float32(stored, self.info.dtype), 0)
        return np.ascontiguousarray(whole[:, start:stop].T)

    @override
    def weight(self) -> PackedWeight | np.ndarray:
        return self.rows(0, self.info.shape[0])
