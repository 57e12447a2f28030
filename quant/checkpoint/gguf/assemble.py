"""Which tensors of a GGUF file are which of the model; none may be missing or left over."""

from __future__ import annotations

from ....errors import CheckpointError
from ....model import ModelConfig
from ..files.fields import printable
from ..files.gguf_split import GgufModel
from ..files.source import TensorSource
from .config import BITNET
from .names import ROPE_FACTORS, gguf_name, is_paired, scale_name
from .rotation import rotations
from .source import GgufSource

__all__ = ["assemble_gguf"]


def assemble_gguf(file: GgufModel, config: ModelConfig) -> dict[str, TensorSource]:
    """One checked source for each of ``config.tensor_shapes()``, in that order.

    Raises
    ------
    CheckpointError
        A tensor is missing, unexpected, or has another shape or type than it must have.
    """
    architecture = file.metadata["general.architecture"]
    linear = set(config.linear_weights())
    ternary = linear if architecture in BITNET else set()
    rotated = rotations(file)
    left = set(file.tensors) - {ROPE_FACTORS}
    sources: dict[str, TensorSource] = {}
    for name, shape in config.tensor_shapes().items():
        stored = gguf_name(name)
        if stored not in file.tensors:
            raise CheckpointError(
                f"{file.path} has no tensor {stored}, which the metadata of a {architecture} model "
                "calls for"
            )
        scale = scale_name(name) if name in linear else None
        scale = scale if scale in file.tensors else None
        left -= {stored, scale}
        sources[name] = GgufSource(
            name, shape, file, stored, scale, is_paired(name, architecture), name in ternary,
            config, rotated.pop(stored, None),
        )
    if left:
        raise CheckpointError(
            f"{file.path}: the tensor {printable(min(left))} is no part of a {architecture} model "
            "as the metadata describes it"
        )
    return sources
