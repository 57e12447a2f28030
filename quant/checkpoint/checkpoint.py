"""A checkpoint folder, checked in full when opened and read tensor by tensor afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...model import ModelConfig
from ..formats import Codes, Format, PackedWeight
from .assemble import assemble
from .bitnet import PackedTrits
from .families import parse_config
from .fields import read_json
from .locate import TensorFiles, resolve
from .quantization import parse_quantization
from .source import TensorInfo, TensorSource

__all__ = ["Checkpoint", "open_checkpoint"]


def open_checkpoint(source: str | Path) -> Checkpoint:
    """Open a checkpoint: a folder, or ``demo-bitnet`` / ``demo-llama`` for the shipped ones.

    Raises
    ------
    CheckpointError
        There is none, or anything about it is damaged, contradictory or not understood. No
        weight has been read by then, but for a head that is stored beside tied embeddings and
        has to equal them.
    """
    return Checkpoint(resolve(source))


class Checkpoint:
    """A model's description and its tensors under their canonical (Hugging Face) names.

    Opening reads config.json and the headers of the safetensors files, and checks that exactly
    the tensors which the config calls for are there, with their shapes. Weights are read when
    asked for, by blocks of rows where asked by rows. A context manager; not for use by several
    threads at once.

    Attributes
    ----------
    folder, config, raw_config
        The folder, its model, and the JSON object that config.json holds.
    tensors
        Shape, type and size of each tensor, in the order of ``ModelConfig.tensor_shapes``.
    quantization
        The ``quantization_config`` of a folder that Trilobite quantized, else None.
    manifest
        Its manifest.json, else None.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "config.json"
        self.raw_config: dict[str, Any] = read_json(path)
        self.config: ModelConfig = parse_config(self.raw_config, path)
        quantization = parse_quantization(self.raw_config, path)
        self.quantization = quantization.stated
        manifest = folder / "manifest.json"
        quantized = self.quantization is not None and manifest.exists()
        self.manifest: dict[str, Any] | None = read_json(manifest) if quantized else None
        self._files = TensorFiles(folder)
        try:
            self._sources = assemble(folder, self.config, quantization, self._files.entries)
        except BaseException:
            self._files.close()
            raise
        self.tensors: Mapping[str, TensorInfo] = {
            name: source.info for name, source in self._sources.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; nothing can be read afterwards."""
        self._files.close()

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop`` of a matrix as float32 [R, K]; reads those rows only.

        Raises
        ------
        CheckpointError
            A value is NaN or infinite, a packed code is invalid, or the file ends early.
        """
        source = self._matrix(name)
        if not 0 <= start <= stop <= source.info.shape[0]:
            raise ValueError(f"{name} has {source.info.shape[0]} rows, not rows {start} to {stop}")
        return source.rows(start, stop)

    def read(self, name: str) -> np.ndarray:
        """A whole tensor as float32; raises as ``rows`` does."""
        return self._source(name).read()

    def weight(self, name: str) -> PackedWeight | np.ndarray:
        """A tensor as the runtime computes with it; raises as ``rows`` does.

        Packed where the folder holds packed weights, and for BitNet's master weights, which are
        rounded to trits by absmean here; float32 otherwise.
        """
        return self._source(name).weight()

    def format(self, name: str) -> Format | None:
        """The format in which the model computes with a tensor; None: it is float32."""
        return self._source(name).form

    def encoded(self, name: str, start: int, stop: int) -> Codes:
        """Codes of rows ``start`` to ``stop`` of a matrix that has a ``format``.

        They are the stored ones; trits of BitNet's master weights are rounded here, by absmean of
        the whole tensor. Raises as ``rows`` does.
        """
        return self._source(name).encoded(start, stop)

    def native_ternary(self, name: str) -> bool:
        """Whether a weight is stored as trits by BitNet's own packing."""
        return isinstance(self._source(name), PackedTrits)

    def codes(self, name: str, start: int, stop: int) -> np.ndarray:
        """Trits int8 [R, K] of rows ``start`` to ``stop`` of a ``native_ternary`` weight."""
        return self._packed_trits(name).codes(start, stop)

    def ternary_scale(self, name: str) -> np.float32:
        """The factor that the trits of a ``native_ternary`` weight are multiplied by."""
        return self._packed_trits(name).scale()

    def _source(self, name: str) -> TensorSource:
        if name not in self._sources:
            raise KeyError(f"{self.folder} has no tensor {name}")
        return self._sources[name]

    def _matrix(self, name: str) -> TensorSource:
        source = self._source(name)
        if len(source.info.shape) != 2:
            raise ValueError(f"{name} has shape {source.info.shape}; rows are read of matrices")
        return source

    def _packed_trits(self, name: str) -> PackedTrits:
        source = self._source(name)
        if not isinstance(source, PackedTrits):
            raise ValueError(f"{name} is not stored as packed trits")
        return source
