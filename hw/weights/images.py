"""Memory images of a model's matrices for the table-lookup engine: ``export --to hex``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import CheckpointError
from ...quant.checkpoint import Checkpoint
from ...quant.export.base import Export, ExportedTensor, Exporter
from ...quant.formats import Ternary
from ...quant.output.atomic import write_synced
from ...tools.json_text import json_text
from ...tools.progress import Progress
from ..matmul.engine_parameters import TlmmParameters
from .weight_layout import WeightLayout

__all__ = ["WeightImages"]

INDEX = "index.json"


class WeightImages(Exporter):
    """A folder with one file per matrix, and ``index.json`` that says what lies where.

    ``hex`` files are for ``$readmemh``: a memory word to a line, its last byte first, so that byte
    0 is in bits 7 to 0. ``bin`` files are the same words as they lie in memory, byte 0 of word 0
    first. The index gives each matrix its M, K, words, file and scale (float32, its bits too), and
    says for which engine and word width the images are.

    Parameters
    ----------
    parameters, word_bytes
        The engine, and the width of its memory port.
    """

    name = "hex"
    types: ClassVar[dict[str, str]] = {
        "hex": "text for $readmemh", "bin": "the bytes as they lie in memory",
    }
    writes = "folder"

    def __init__(self, parameters: TlmmParameters, word_bytes: int) -> None:
        self._layout = WeightLayout(parameters, word_bytes)

    def plan(self, checkpoint: Checkpoint, type: str) -> Export:
        return _Images(checkpoint, self._layout, type)


class _Images(Export):
    def __init__(self, checkpoint: Checkpoint, layout: WeightLayout, type: str) -> None:
        self._checkpoint = checkpoint
        self._layout = layout
        self._type = type
        self.warnings = []
        self.tensors = [self._line(name) for name in checkpoint.config.linear_weights()]
        self.needed_bytes = sum(tensor.bytes for tensor in self.tensors) + 400 * len(self.tensors)

    def _line(self, name: str) -> ExportedTensor:
        M, K = self._checkpoint.tensors[name].shape
        form = self._checkpoint.format(name)
        if not isinstance(form, Ternary):
            held = "floats" if form is None else form.name
            raise CheckpointError(
                f"{self._checkpoint.folder}: {name} is in {held}, and the table-lookup engine "
                "multiplies ternary weights with one scale: quantize with --format ternary first"
            )
        engine = self._layout.parameters
        if engine.max_k < K or engine.max_m < M:
            raise CheckpointError(
                f"{self._checkpoint.folder}: {name} is {M} x {K}; the engine takes at most "
                f"{engine.max_m} x {engine.max_k}"
            )
        words = self._layout.words(M, K)
        width = self._layout.word_bytes
        nbytes = words * (2 * width + 1) if self._type == "hex" else words * width
        return ExportedTensor(self._file(name), name, (words, width), "base-3 trits", nbytes, True)

    def _file(self, name: str) -> str:
        return f"{name.removeprefix('model.').removesuffix('.weight')}.{self._type}"

    def write(self, path: Path, progress: Progress) -> None:
        matrices = []
        for tensor in self.tensors:
            M, K = self._checkpoint.tensors[tensor.source].shape
            codes = self._checkpoint.encoded(tensor.source, 0, M)
            image = self._layout.pack(codes.values)
            content = readmemh(image) if self._type == "hex" else image.tobytes()
            write_synced(path / tensor.name, content)
            scale = codes.scale.astype("<f4").reshape(-1)[0]
            matrices.append({
                "name": tensor.source, "file": tensor.name, "M": M, "K": K,
                "words": len(image), "scale": float(scale),
                "scale_bits": f"{scale.view('<u4'):08x}",
            })
            progress.advance(self._checkpoint.tensors[tensor.source].nbytes)
        write_synced(path / INDEX, json_text(self._index(matrices)) + "\n")

    def _index(self, matrices: list[dict[str, Any]]) -> dict[str, Any]:
        engine = self._layout.parameters
        return {
            "engine": {
                "group_size": engine.group_size, "tables": engine.tables, "columns": engine.columns,
            },
            "word_bytes": self._layout.word_bytes, "matrices": matrices,
        }


def readmemh(image: np.ndarray) -> str:
    """Lines of hexadecimal digits, one for each row of uint8 [words, bytes]; byte 0 stands last."""
    return "".join(f"{word[::-1].tobytes().hex()}\n" for word in image)
