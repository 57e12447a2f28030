"""What is fuzzed: bytes go in, and either a checkpoint comes out or a ``TrilobiteError``.

A target takes bytes and a scratch folder. Any other exception is a finding, and so is more memory
than ``LARGEST_TENSOR`` values for a file of a few kilobytes.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import sys
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from onnx import ModelProto

from fuzz import boards, described, vocabularies
from support import hostile_tokenizers, onnx_mutations
from support.json_mutations import change_json, change_prefixed
from trilobite.errors import TrilobiteError
from trilobite.quant.checkpoint import Checkpoint, open_checkpoint
from trilobite.quant.checkpoint.files.safetensors_file import SafetensorsFile
from trilobite.quant.export.gguf_metadata import metadata
from trilobite.quant.formats import Fp8, Int4, Int8
from trilobite.quant.pipeline import quantize
from trilobite.quant.pipeline.journal import JOURNAL
from trilobite.runtime.text import Tokenizer
from trilobite.tools.progress import Silent

__all__ = ["MUTATORS", "SEEDS", "TARGETS"]

Target = Callable[[bytes, Path], None]
_CONFIG_SIZE = 4   # bytes in front of a folder's config.json that say how long it is
_HEADER_SIZE = 8   # the same in front of a safetensors header


def gguf(data: bytes, scratch: Path) -> None:
    """A GGUF file: header, every weight, the tokenizer."""
    path = scratch / "model.gguf"
    path.write_bytes(data)
    try:
        with open_checkpoint(path) as checkpoint:
            _read(checkpoint)
            checkpoint.companions()
    except TrilobiteError as error:
        assert str(error)


def safetensors(data: bytes, scratch: Path) -> None:
    """A safetensors file: header, every tensor."""
    path = scratch / "model.safetensors"
    path.write_bytes(data)
    try:
        with SafetensorsFile(path) as file:
            for name, tensor in file.tensors.items():
                assert file.read(name).nbytes == tensor.nbytes <= len(data)
    except TrilobiteError as error:
        assert str(error)


def folder(data: bytes, scratch: Path) -> None:
    """A folder: the length of config.json, config.json, model.safetensors."""
    size = int.from_bytes(data[:_CONFIG_SIZE], "little")
    (scratch / "config.json").write_bytes(data[_CONFIG_SIZE : _CONFIG_SIZE + size])
    (scratch / "model.safetensors").write_bytes(data[_CONFIG_SIZE + size :])
    try:
        with open_checkpoint(scratch) as checkpoint:
            _read(checkpoint)
    except TrilobiteError as error:
        assert str(error)


def index(data: bytes, scratch: Path) -> None:
    """The index of a sharded folder: no file outside of the folder is ever opened."""
    inside = scratch / "sharded"
    if not inside.exists():
        inside.mkdir()
        (inside / "config.json").write_text(json.dumps(_config()))
    (inside / "model.safetensors.index.json").write_bytes(data)
    _OPENED.clear()
    try:
        with open_checkpoint(inside):
            raise AssertionError("a folder without weights was opened")
    except TrilobiteError as error:
        assert str(error)
    outside = [path for path in _OPENED if Path(path).suffix == ".safetensors"
               and Path(path).resolve().parent != inside.resolve()]
    assert outside == []


def tokenizer(data: bytes, scratch: Path) -> None:
    """A tokenizer.json: loaded, used both ways, and written to GGUF."""
    inside = scratch / "tokenizer"
    if not inside.exists():
        shutil.copytree(_llama(scratch, vocab_size=512), inside)
        (inside / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    (inside / "tokenizer.json").write_bytes(data)
    try:
        text = Tokenizer(inside / "tokenizer.json", 0, (1,))
        ids = text.encode(hostile_tokenizers.TEXT)
        text.decode(ids)
        "".join(text.stream(ids))
    except TrilobiteError as error:
        assert str(error)
    try:
        with open_checkpoint(inside) as checkpoint:
            metadata(checkpoint, 0)
    except TrilobiteError as error:
        assert str(error)


def journal(data: bytes, scratch: Path) -> None:
    """The journal of an unfinished folder: what is resumed is what an uninterrupted run writes."""
    source = _llama(scratch)
    out = scratch / "resumed"
    shutil.rmtree(out, ignore_errors=True)
    partial = out.with_name(f".{out.name}.trilobite-partial")
    partial.mkdir()
    (partial / JOURNAL).write_bytes(data)
    with (partial / "model.safetensors").open("wb") as file:
        file.write(_whole(scratch))
    quantize(source, out, "int8")
    assert (out / "model.safetensors").read_bytes() == _whole(scratch)


def change_lines(data: bytes, source: random.Random) -> bytes:
    """Values of some lines of a journal changed, or its lines in another order."""
    lines = data.splitlines()
    if not lines:
        return data
    for _ in range(source.randint(1, 3)):
        place = source.randrange(len(lines))
        lines[place] = change_json(lines[place], source) or lines[place]
    if not source.randrange(4):
        source.shuffle(lines)
    return b"\n".join(lines) + b"\n"


_ONNX_OUTPUTS = tuple(product(
    (Int8(), Int4(32), Int4(None, False), Fp8()), ("qdq", "matmulnbits", "matmulnbits-float"),
))


def onnx(data: bytes, scratch: Path) -> None:
    """An ONNX model: its graph, its external data, and all of it written again with integers.

    The bytes decide what is written, so that one input always does the same.
    """
    form, layout = _ONNX_OUTPUTS[zlib.crc32(data) % len(_ONNX_OUTPUTS)]
    inside = scratch / "onnx"
    _OPENED.clear()
    onnx_mutations.attempt(onnx_mutations.prepare(inside), data, form, layout)
    assert "/etc/passwd" not in map(os.path.realpath, _OPENED)


def change_onnx(data: bytes, source: random.Random) -> bytes:
    """A few fields of a model set to what nobody writes; bytes that are no model as they are."""
    try:
        model = ModelProto.FromString(data)
        onnx_mutations.change_fields(model, source)
    except (DecodeError, UnicodeDecodeError):   # a name that is not UTF-8 shows when it is read
        return data
    return model.SerializeToString()


def change_index(data: bytes, source: random.Random) -> bytes:
    """A few entries of an index changed; bytes that are no JSON as they are."""
    return change_json(data, source) or data


_OPENED: list[str] = []


def _record_open(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str):
        _OPENED.append(arguments[0])
        del _OPENED[:-50]


sys.addaudithook(_record_open)


def _read(checkpoint: Checkpoint) -> None:
    """Every tensor as the runtime takes it, and every stored code."""
    for name, info in checkpoint.tensors.items():
        assert math.prod(info.shape) <= LARGEST_TENSOR
        checkpoint.read(name)
        checkpoint.weight(name)
        if checkpoint.stored_format(name) is not None:
            checkpoint.encoded(name, 0, info.shape[0])


LARGEST_TENSOR = 1 << 24   # a stored value takes at least 1.6 bits of a file below 1 MB
TARGETS: dict[str, Target] = {
    "gguf": gguf, "safetensors": safetensors, "folder": folder, "index": index, "onnx": onnx,
    "tokenizer": tokenizer, "journal": journal, **described.TARGETS, **boards.TARGETS,
    **vocabularies.TARGETS,
}
# How else than byte by byte inputs of a target are changed.
MUTATORS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "safetensors": change_prefixed(_HEADER_SIZE),
    "folder": change_prefixed(_CONFIG_SIZE, change_prefixed(_HEADER_SIZE)),
    "index": change_index,
    "onnx": change_onnx,
    "tokenizer": lambda data, source: change_json(data, source) or data,
    "journal": change_lines,
    **described.MUTATORS,
    **boards.MUTATORS,
    **vocabularies.MUTATORS,
}


def _config() -> dict:
    from support.llama_folder import CONFIG

    return {**CONFIG, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 16}


def _llama(scratch: Path, **changes: Any) -> Path:
    from support.llama_folder import write_llama

    source = scratch / "-".join(("llama", *map(str, changes.values())))
    if not source.exists():
        write_llama(source, **{**_config(), **changes})
        (source / "tokenizer.json").unlink()
    return source


def _gguf_seeds(scratch: Path) -> list[bytes]:
    from trilobite.quant.export import EXPORTERS, export

    seeds = []
    for type in ("auto", "q4_0", "q8_0", "f16"):
        export(_llama(scratch), scratch / f"{type}.gguf", EXPORTERS["gguf"], type)
        seeds.append((scratch / f"{type}.gguf").read_bytes())
    return seeds


def _folder_bytes(source: Path) -> bytes:
    config = (source / "config.json").read_bytes()
    weights = (source / "model.safetensors").read_bytes()
    return len(config).to_bytes(_CONFIG_SIZE, "little") + config + weights


def _folder_seeds(scratch: Path) -> list[bytes]:
    source = _llama(scratch)
    seeds = [_folder_bytes(source)]
    for format in ("ternary", "int4", "fp8"):
        out = scratch / f"folder-{format}"
        quantize(source, out, format, overwrite=True)
        seeds.append(_folder_bytes(out))
    return seeds + _packed_seeds(scratch)


def _packed_seeds(scratch: Path) -> list[bytes]:
    """Folders as GPTQ, AWQ and compressed-tensors store them."""
    from support.packed_checkpoints import write_awq, write_compressed, write_gptq

    writers = {
        "gptq": lambda folder: write_gptq(folder, 4, 32),
        "awq": lambda folder: write_awq(folder, 32),
        **{kind: lambda folder, kind=kind: write_compressed(folder, kind)
           for kind in ("int4-group-asymmetric", "int8-channel", "nvfp4", "mxfp4")},
    }
    seeds = []
    for kind, write in writers.items():
        copy = scratch / f"packed-{kind}"
        shutil.copytree(_llama(scratch), copy)
        write(copy)
        seeds.append(_folder_bytes(copy))
    return seeds


def _index_seeds(scratch: Path) -> list[bytes]:
    names = ["model.norm.weight", "lm_head.weight"]
    paths = ["../outside.safetensors", "model-00001-of-00002.safetensors", "/dev/zero"]
    return [json.dumps({"weight_map": dict.fromkeys(names, path)}).encode() for path in paths]


def _whole(scratch: Path) -> bytes:
    """The weights that an uninterrupted run writes."""
    whole = scratch / "whole"
    if not whole.exists():
        quantize(_llama(scratch), whole, "int8")
    return (whole / "model.safetensors").read_bytes()


def _journal_seeds(scratch: Path) -> list[bytes]:
    """The journal of a run just before its end."""

    class Keep(Silent):
        text = b""

        def finished(self, record: object) -> None:
            file = scratch / ".journal.trilobite-partial" / JOURNAL
            self.text = file.read_bytes() if file.exists() else self.text

    keep = Keep()
    quantize(_llama(scratch), scratch / "journal", "int8", progress=keep)
    return [keep.text]


SEEDS: dict[str, Callable[[Path], list[bytes]]] = {
    "gguf": _gguf_seeds,
    "safetensors": lambda scratch: [(_llama(scratch) / "model.safetensors").read_bytes()],
    "folder": _folder_seeds,
    "index": _index_seeds,
    "onnx": lambda scratch: [one.SerializeToString() for one in onnx_mutations.corpus()],
    "tokenizer": lambda scratch: hostile_tokenizers.seeds(),
    "journal": _journal_seeds,
    **described.SEEDS,
    **boards.SEEDS,
    **vocabularies.SEEDS,
}
