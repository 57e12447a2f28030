"""A checkpoint folder, checked in full when opened and read tensor by tensor afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from ...model import ModelConfig
from ...tools.files import read_bounded
from ..formats import Codes, Format, PackedWeight
from .assemble import assemble_tensors
from .families import parse_config
from .files.closing import HoldsFiles
from .files.fields import read_json
from .files.gguf_split import open_gguf
from .files.locate import TensorFiles, is_gguf, resolve
from .files.source import TensorInfo, TensorSource
from .files.special_tokens import with_stated_ends
from .gguf.assemble import assemble_gguf
from .gguf.config import huggingface_config
from .gguf.tokenizer import tokenizer_files
from .quantization import parse_quantization
from .text_part import text_part
from .vocabularies import made_tokenizer

__all__ = ["Checkpoint", "open_checkpoint"]


# Small files of a folder that belong to the model, and the most that is read of one.
_COMPANIONS = (
    "added_tokens.json", "chat_template.jinja", "generation_config.json", "merges.txt",
    "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    "tekken.json", "training.json", "vocab.json", "vocab.txt",
)
_COMPANION_LIMIT = 64 << 20


def open_checkpoint(source: str | Path, mmap: bool = False) -> Checkpoint:
    """Open a checkpoint: a folder, a GGUF file, or ``demo-bitnet`` / ``demo-llama``, the shipped.

    With ``mmap``, ``Checkpoint.weight`` gives tensors of safetensors files that need no conversion
    as views of the mapped file, which must not shrink or change as long as they are used.

    Raises
    ------
    CheckpointError
        There is none, or anything about it is damaged, contradictory or not understood. No
        weight has been read by then, but for a head that is stored beside tied embeddings and
        has to equal them.
    """
    path = resolve(source)
    return Checkpoint(path, _read_gguf(path) if is_gguf(path) else _read_folder(path, mmap))


@dataclass(frozen=True)
class _Content:
    """What a folder or file turned out to hold, and how it is closed."""

    raw_config: dict[str, Any]
    config: ModelConfig
    sources: dict[str, TensorSource]
    close: Callable[[], None]
    inputs: tuple[Path, ...]
    companions: Callable[[], dict[str, bytes]]
    quantization: dict[str, Any] | None = None
    manifest: dict[str, Any] | None = None


class Checkpoint(HoldsFiles):
    """A model's description and its tensors under their canonical (Hugging Face) names.

    Opening reads config.json and the headers of the safetensors files (or the header of the GGUF
    file), and checks that exactly the tensors which the config calls for are there, with their
    shapes. Weights are read when asked for, by blocks of rows where asked by rows. A context
    manager. Several threads may call ``rows`` and ``encoded``.

    Attributes
    ----------
    folder, config, raw_config
        The folder or GGUF file, its model, and the JSON object that config.json holds (of a GGUF
        file: what the metadata says, as config.json would).
    tensors
        Shape, type and size of each tensor, in the order of ``ModelConfig.tensor_shapes``.
    quantization
        The ``quantization_config`` of a folder that Trilobite quantized, else None.
    manifest
        Its manifest.json, else None.
    inputs
        Every file that the tensors and the description come from, and no others, sorted by name.
    """

    def __init__(self, folder: Path, content: _Content) -> None:
        self.folder = folder
        self.raw_config = content.raw_config
        self.config = content.config
        self.quantization = content.quantization
        self.manifest = content.manifest
        self.inputs = content.inputs
        self._content = content
        self._sources = content.sources
        self.tensors: Mapping[str, TensorInfo] = {
            name: source.info for name, source in self._sources.items()
        }

    @override
    def close(self) -> None:
        self._content.close()

    def companions(self) -> dict[str, bytes]:
        """Small files that belong to the model, by name: the tokenizer's above all.

        Those of the folder, with a tokenizer.json made where it has another kind of vocabulary, or
        what a GGUF file's metadata makes; works on a closed checkpoint. Raises ``CheckpointError``
        if the tokenizer is of a kind that is not read.
        """
        return self._content.companions()

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

    def check_numbers(self, name: str, start: int, stop: int) -> None:
        """Raise ``CheckpointError`` at a NaN or infinity in rows ``start`` to ``stop``.

        For what is stored as floats that is faster than ``rows``. Several threads may call it.
        """
        self._source(name).check_numbers(start, stop)

    def weight(self, name: str) -> PackedWeight | np.ndarray:
        """A tensor as the runtime computes with it; raises as ``rows`` does.

        Packed where the folder holds packed weights, and for BitNet's master weights, which are
        rounded to trits by absmean here; float32 otherwise.
        """
        return self._source(name).weight()

    def format(self, name: str) -> Format | None:
        """The format in which the model computes with a tensor; None: it is float32."""
        return self._source(name).form

    def rotated(self) -> str | None:
        """The first tensor whose ``weight`` is stored for rotated inputs; None: there is none."""
        return next((name for name, source in self._sources.items() if source.rotated), None)

    def coded_format(self, name: str) -> Format:
        """``format(name)``; raise ``ValueError`` if the tensor is float32."""
        form = self.format(name)
        if form is None:
            raise ValueError(f"{name} is float32")
        return form

    def stored_format(self, name: str) -> Format | None:
        """The format that holds a tensor's stored codes exactly; None: there are none."""
        return self._source(name).stored_form

    def encoded(self, name: str, start: int, stop: int) -> Codes:
        """Codes of rows ``start`` to ``stop`` of a matrix that has a ``stored_format``.

        They are the stored ones; trits of BitNet's master weights are rounded here, by absmean of
        the whole tensor. Raises as ``rows`` does.
        """
        return self._source(name).encoded(start, stop)

    def _source(self, name: str) -> TensorSource:
        if name not in self._sources:
            raise KeyError(f"{self.folder} has no tensor {name}")
        return self._sources[name]

    def _matrix(self, name: str) -> TensorSource:
        source = self._source(name)
        if len(source.info.shape) != 2:
            raise ValueError(f"{name} has shape {source.info.shape}; rows are read of matrices")
        return source


def _read_folder(folder: Path, mmap: bool) -> _Content:
    path = folder / "config.json"
    raw_config, left_out = text_part(read_json(path, folder), path)
    config = parse_config(raw_config, path)
    config = with_stated_ends(config, folder, lambda: made_tokenizer(_reader(folder), str(folder)))
    quantization = parse_quantization(raw_config, path)
    manifest = folder / "manifest.json"
    quantized = quantization.stated is not None and manifest.exists()
    stated = read_json(manifest, folder) if quantized else None
    files = TensorFiles(folder, mmap)
    try:
        entries = {name: entry for name, entry in files.entries.items()
                   if not name.startswith(left_out)}
        sources = assemble_tensors(folder, config, quantization, entries)
    except BaseException:
        files.close()
        raise
    used = {source.info.file for source in sources.values()}
    used |= {path, *files.index}
    inputs = tuple(sorted(used, key=lambda file: file.name))

    def companions() -> dict[str, bytes]:
        read = _reader(folder)
        found = {name: read(name) for name in _COMPANIONS}
        files = {name: content for name, content in found.items() if content is not None}
        made = None if "tokenizer.json" in files else made_tokenizer(files.get, str(folder))
        return files if made is None else files | {"tokenizer.json": made}

    return _Content(raw_config, config, sources, files.close, inputs, companions,
                    quantization.stated, stated)


def _reader(folder: Path) -> Callable[[str], bytes | None]:
    """What a small file of ``folder`` holds; None where it is not there."""
    def read(name: str) -> bytes | None:
        if not os.path.lexists(folder / name):
            return None
        return read_bounded(folder / name, _COMPANION_LIMIT, CheckpointError, within=folder)

    return read


def _read_gguf(path: Path) -> _Content:
    file = open_gguf(path)
    try:
        raw_config = huggingface_config(file)
        config = parse_config(raw_config, path)
        sources = assemble_gguf(file, config)
    except BaseException:
        file.close()
        raise
    return _Content(raw_config, config, sources, file.close, file.paths,
                    lambda: tokenizer_files(file))
