"""What a checkpoint is, without loading it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..model import ModelConfig
from ..quant.checkpoint import open_checkpoint

__all__ = ["ModelDescription", "TensorDescription", "inspect"]


@dataclass(frozen=True)
class TensorDescription:
    """A tensor by its canonical name: shape, type by the file's own word, stored bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True)
class ModelDescription:
    """A checkpoint.

    Attributes
    ----------
    folder
        Where it lies; of GGUF the file.
    config
        What the model is.
    quantization
        How its weights are stored, as its config.json says; None if they are not quantized.
    tensors
        All of them, in the order of the files.
    """

    folder: Path
    config: ModelConfig
    quantization: dict[str, Any] | None
    tensors: tuple[TensorDescription, ...]

    @property
    def parameters(self) -> int:
        """Numbers in the model, however they are stored."""
        return sum(math.prod(shape) for shape in self.config.tensor_shapes().values())

    @property
    def bytes(self) -> int:
        """Stored bytes of all tensors."""
        return sum(tensor.bytes for tensor in self.tensors)

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return {
            "folder": str(self.folder),
            "config": asdict(self.config),
            "parameters": self.parameters,
            "quantization": self.quantization,
            "bytes": self.bytes,
            "tensors": [
                {**asdict(tensor), "shape": list(tensor.shape)} for tensor in self.tensors
            ],
        }


def inspect(path: str | Path) -> ModelDescription:
    """Say what the checkpoint at ``path`` is; no weight is read.

    ``path`` is what ``load`` takes. Raises ``CheckpointError`` as ``load`` does.
    """
    with open_checkpoint(path) as checkpoint:
        tensors = tuple(
            TensorDescription(name, tuple(info.shape), info.dtype, info.nbytes)
            for name, info in checkpoint.tensors.items()
        )
        return ModelDescription(
            checkpoint.folder, checkpoint.config, checkpoint.quantization, tensors
        )
