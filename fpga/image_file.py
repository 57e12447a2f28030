"""Images as folders: ``manifest.json`` and ``memory.bin``. docs/reference/image.md describes both.

A folder may come from anybody: whatever is read of it is bounded and checked, and an image that
was read holds nothing that its checksum does not cover.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..quant.checkpoint.files.fields import Fields, read_json, shown
from ..quant.output.atomic import OutputFolder, write_synced
from ..tools.files import check_within, open_regular
from .descriptors import DESCRIPTOR_BYTES, TILE_BYTES
from .image import Image
from .memory_map import Region
from .registers import configuration_hash

__all__ = ["MANIFEST", "is_image", "read_image", "write_image"]

MANIFEST, MEMORY = "manifest.json", "memory.bin"
FORMAT, VERSION = "trilobite-image", 1
_MOST_WORDS, _MOST_TOKENS = 1 << 32, (1 << 24) - 1
_MOST_REGIONS, _MOST_NAME, _MOST_ENDS = 1 << 18, 256, 256
_MOST_BYTES = 1 << 36


def write_image(image: Image, folder: Path, version: str, files: Mapping[str, bytes],
                overwrite: bool = False) -> None:
    """Write an image, and ``files`` (of a tokenizer, by name) beside it; complete or not at all.

    ``version`` is this package's. Raises ``OutputError`` as ``OutputFolder`` does.
    """
    nbytes = sum(map(len, image.contents.values()))
    with OutputFolder(folder, Path(os.devnull), nbytes, overwrite) as output:
        digest = hashlib.sha256()
        with (output.path / MEMORY).open("xb") as file:
            for content in image.contents.values():
                file.write(content)
                digest.update(content)
            file.flush()
            os.fsync(file.fileno())
        manifest = _manifest(image, version, nbytes, digest.hexdigest())
        write_synced(output.path / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        for name, text in files.items():
            write_synced(output.path / name, text)
        output.commit()


def _manifest(image: Image, version: str, nbytes: int, digest: str) -> dict[str, Any]:
    regions, offset = [], 0
    for region in image.regions.values():
        content = image.contents.get(region.name)
        regions.append({"name": region.name, "start": region.start, "words": region.words,
                        "offset": None if content is None else offset})
        offset += 0 if content is None else len(content)
    return {
        "format": FORMAT, "version": VERSION, "trilobite_version": version, "name": image.name,
        "configuration": f"{image.configuration:016x}", "parameters": dict(image.parameters),
        "word_bytes": image.word_bytes, "capacity": image.capacity,
        "vocab_size": image.vocab_size, "begin_token": image.begin_token,
        "end_tokens": list(image.end_tokens),
        "run": {"program": image.program, "tiles": image.tiles, "tile_count": image.tile_count},
        "memory": {"bytes": nbytes, "sha256": digest}, "regions": regions,
    }


def is_image(folder: Path) -> bool:
    """Whether a folder says that it is an image, sound or not."""
    try:
        return read_json(folder / MANIFEST).get("format") == FORMAT
    except CheckpointError:
        return False


def read_image(folder: Path) -> Image:
    """Read an image that ``write_image`` wrote.

    Raises
    ------
    CheckpointError
        Something is missing, damaged, too large or contradictory; the message names the file, the
        field, its value and what would be right.
    """
    where = folder / MANIFEST
    fields = Fields(read_json(where, folder), str(where))
    fields.choice("format", [FORMAT])
    fields.integer("version", VERSION)
    fields.ignore(["trilobite_version"])
    parameters, configuration = _configuration(fields)
    word_bytes = fields.integer("word_bytes", 64)
    capacity = fields.integer("capacity", _MOST_TOKENS)
    run, memory = fields.fields("run"), fields.fields("memory")
    content = _content(folder, memory)
    regions, contents = _regions(fields, word_bytes, content)
    name = _text(fields, "name")
    vocabulary = fields.integer("vocab_size", _MOST_TOKENS)
    image = Image(name, configuration, parameters, word_bytes, capacity, vocabulary,
                  fields.optional_integer("begin_token", vocabulary - 1, low=0),
                  _end_tokens(fields, vocabulary),
                  run.integer("program", _MOST_WORDS - 1, low=0),
                  run.integer("tiles", _MOST_WORDS - 1, low=0),
                  run.integer("tile_count", _MOST_TOKENS, low=0), regions, contents)
    for part in (run, memory, fields):
        part.finish()
    _check_lists(image, where)
    return image


def _configuration(fields: Fields) -> tuple[Mapping[str, Any], int]:
    """The parameters, and their hash, which must be what is stated."""
    parameters = fields.raw("parameters")
    if not isinstance(parameters, dict):
        raise fields.refuse("parameters", "a JSON object")
    configuration = configuration_hash(parameters)
    if fields.raw("configuration") != f"{configuration:016x}":
        raise fields.refuse("configuration", f'"{configuration:016x}", the hash of "parameters" as '
                            "this version lays images out")
    return parameters, configuration


def _text(fields: Fields, name: str) -> str:
    value = fields.raw(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_NAME or not value.isprintable():
        raise fields.refuse(name, f"a printable text of 1 to {_MOST_NAME} characters")
    return value


def _end_tokens(fields: Fields, vocabulary: int) -> tuple[int, ...]:
    tokens = fields.raw("end_tokens")
    if not isinstance(tokens, list) or len(tokens) > _MOST_ENDS or not all(
            type(token) is int and 0 <= token < vocabulary for token in tokens):
        raise fields.refuse("end_tokens", f"a list of at most {_MOST_ENDS} of the vocabulary's ids")
    return tuple(tokens)


def _content(folder: Path, memory: Fields) -> memoryview:
    """``memory.bin``, which has the bytes and the checksum that are stated."""
    path = folder / MEMORY
    nbytes = memory.integer("bytes", _MOST_BYTES)
    check_within(folder, path, CheckpointError)
    with open_regular(path, CheckpointError) as file:
        size = os.fstat(file.fileno()).st_size
        if size != nbytes:
            raise CheckpointError(f"{path} has {size:,} bytes, and {MANIFEST} says {nbytes:,}")
        content = bytearray(nbytes)
        rest = memoryview(content)
        while rest and (count := file.readinto(rest)):
            rest = rest[count:]
    digest = hashlib.sha256(content).hexdigest()
    if rest or memory.raw("sha256") != digest:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is {digest}, and {MANIFEST} says "
                              f"{shown(memory.raw('sha256'))}")
    return memoryview(content).toreadonly()


def _regions(fields: Fields, word_bytes: int, memory: memoryview,
             ) -> tuple[dict[str, Region], dict[str, memoryview]]:
    """Regions that do not overlap, and their contents, which are all of ``memory``, in order."""
    listed = fields.raw("regions")
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_REGIONS:
        raise fields.refuse("regions", f"a list of 1 to {_MOST_REGIONS:,} regions")
    regions: dict[str, Region] = {}
    contents: dict[str, memoryview] = {}
    used = end = 0
    for number, values in enumerate(listed):
        if not isinstance(values, dict):
            raise CheckpointError(f"regions[{number}] is {shown(values)}; it must be an object")
        region_fields = Fields(values, f"{MANIFEST}: regions[{number}]")
        region = Region(_text(region_fields, "name"),
                        region_fields.integer("start", _MOST_WORDS - 1, low=end),
                        region_fields.integer("words", _MOST_WORDS))
        end = region.end
        if end > _MOST_WORDS or region.name in regions:
            raise region_fields.refuse("name", "a name of its own, of a region below 2^32 words")
        if region_fields.optional_integer("offset", used, low=used) is not None:
            contents[region.name] = memory[used:used + region.words * word_bytes]
            used += region.words * word_bytes
        region_fields.finish()
        regions[region.name] = region
    if used != len(memory):
        raise CheckpointError(f"{MANIFEST}: the regions hold {used:,} bytes, and {MEMORY} has "
                              f"{len(memory):,}")
    return regions, contents


def _check_lists(image: Image, where: Path) -> None:
    """Refuse lists that a run would read outside of their regions, and too little room."""
    sizes = {"program": DESCRIPTOR_BYTES, "tiles": image.tile_count * TILE_BYTES}
    for name, least in sizes.items():
        region = image.regions.get(name)
        if region is None or name not in image.contents:
            raise CheckpointError(f"{where}: there is no region {name!r} with contents")
        if getattr(image, name) != region.start or region.words * image.word_bytes < least:
            raise CheckpointError(f"{where}: the run's {name!r} is {getattr(image, name)}, and "
                                  f"the region begins at {region.start} with {region.words} words; "
                                  f"they must agree, and hold {least} bytes")
    logits = image.regions.get("logits")
    if logits is None or logits.words * image.word_bytes < 4 * image.vocab_size:
        raise CheckpointError(f"{where}: the region 'logits' must hold {image.vocab_size} numbers "
                              "of 4 bytes, one of each token of the vocabulary")
    tokens = image.regions.get("tokens")
    if tokens is None or tokens.words * image.word_bytes < 4 * (image.capacity + 1):
        raise CheckpointError(f"{where}: the region 'tokens' must hold {image.capacity + 1} tokens "
                              f"of 4 bytes, for the capacity of {image.capacity}")
