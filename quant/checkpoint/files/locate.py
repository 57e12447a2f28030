"""From what a user names to a folder, and from a folder to the tensors in its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import override

from ....errors import CheckpointError
from ....tools.files import check_within, open_regular
from .closing import HoldsFiles
from .fields import printable, read_json, shown
from .gguf_file import MAGIC
from .safetensors_file import HeaderEntry, SafetensorsFile

__all__ = ["DEMOS", "StoredEntry", "TensorFiles", "is_gguf", "resolve"]

DEMOS = ("demo-bitnet", "demo-llama")
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")


def resolve(source: str | Path) -> Path:
    """The folder or GGUF file that ``source`` names: a shipped demo by its name, else a path.

    A folder of one's own called like a demo is reached as ``./demo-bitnet``.

    Raises
    ------
    CheckpointError
        There is nothing of that name, or no GGUF file and no folder with a config.json.
    """
    if str(source) in DEMOS:
        return Path(__file__).parents[3] / "checkpoints" / str(source)
    demos = " or ".join(DEMOS)
    try:
        folder = Path(source).expanduser()
        there = folder.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{str(source)[:80]!r} is no path: {error}") from None
    if not there:
        raise CheckpointError(
            f"There is no checkpoint at {folder}; give a folder with config.json and "
            f"model.safetensors, or a shipped checkpoint by its name: {demos}"
        )
    if not folder.is_dir():
        if is_gguf(folder):
            return folder
        raise CheckpointError(
            f"{folder} is a file, and not GGUF; give the folder that holds config.json"
        )
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} has no config.json; give a Hugging Face checkpoint folder, or {demos}"
        )
    return folder


def is_gguf(path: Path) -> bool:
    """Whether ``path`` is a file that begins as GGUF files do."""
    try:
        with open_regular(path, CheckpointError) as file:
            return file.read(len(MAGIC)) == MAGIC
    except (CheckpointError, OSError):
        return False


class StoredEntry(NamedTuple):
    """A tensor under its stored name in one of a checkpoint's files."""

    file: SafetensorsFile
    name: str

    @property
    def tensor(self) -> HeaderEntry:
        """Type, shape and place."""
        return self.file.tensors[self.name]

    def __str__(self) -> str:
        return f"{self.file.path}: {printable(self.name)}"


class TensorFiles(HoldsFiles):
    """The safetensors files of a folder, one or many, as one table; a context manager.

    ``entries`` maps stored names to entries; ``index`` has the index file, if it was read. As in
    ``transformers``, ``model.safetensors`` goes before ``model.safetensors.index.json``.
    ``mapped``: see ``SafetensorsFile``.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, the index leads out of the folder, or index and files
        disagree about which tensors there are.
    """

    def __init__(self, folder: Path, mapped: bool = False) -> None:
        self._mapped = mapped
        self.entries: dict[str, StoredEntry] = {}
        self._files: list[SafetensorsFile] = []
        self.index: tuple[Path, ...] = ()   # the index file, where that is what was read
        try:
            if (folder / _SINGLE).is_file():
                self._add(folder / _SINGLE)
            elif (folder / _INDEX).is_file():
                self._add_shards(folder)
                self.index = (folder / _INDEX,)
            else:
                self._add_unindexed(folder)
        except BaseException:
            self.close()
            raise

    @override
    def close(self) -> None:
        for file in self._files:
            file.close()

    def _add(self, path: Path) -> SafetensorsFile:
        check_within(path.parent, path, CheckpointError)
        file = SafetensorsFile(path, self._mapped)
        self._files.append(file)
        self.entries.update({name: StoredEntry(file, name) for name in file.tensors})
        return file

    def _add_shards(self, folder: Path) -> None:
        index = folder / _INDEX
        weight_map = read_json(index, folder).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f'{index}: "weight_map" must say which file holds which tensor')
        for name, shard in weight_map.items():
            _check_shard(index, name, shard)
        for shard in sorted(set(weight_map.values())):
            listed = {name for name, holder in weight_map.items() if holder == shard}
            self._add_shard(folder / shard, listed, index)

    def _add_unindexed(self, folder: Path) -> None:
        """Every model-00001-of-00003.safetensors of a folder that has lost its index."""
        there = {path.name for path in folder.iterdir() if path.name.endswith(".safetensors")}
        shards = {name: match for name in there if (match := _SHARD.fullmatch(name))}
        if not shards:
            raise CheckpointError(f"{folder} {_what_else(folder, there)}")
        counts = sorted({match[2] for match in shards.values()})
        if len(counts) > 1:
            raise CheckpointError(
                f"{folder} has files of models in {' and in '.join(counts)} parts, and no {_INDEX} "
                "that says which belong together"
            )
        count = counts[0]
        for number in range(1, int(count) + 1):
            name = f"model-{number:05}-of-{count}.safetensors"
            if name not in shards:
                raise CheckpointError(f"{folder} has no {name}, and no {_INDEX} that says why")
        for name in sorted(shards):
            known = set(self.entries)
            if twice := known & set(self._add(folder / name).tensors):
                raise CheckpointError(
                    f"{folder / name}: {printable(min(twice))} is in another file, too")

    def _add_shard(self, path: Path, listed: set[str], index: Path) -> None:
        if not path.is_file():
            raise CheckpointError(f"{index} calls for {path.name}, which is not there")
        found = set(self._add(path).tensors)
        if absent := sorted(listed - found):
            raise CheckpointError(
                f"{path}: {printable(absent[0])} is missing, which {index.name} looks for here"
            )
        if extra := sorted(found - listed):
            raise CheckpointError(f"{path}: {printable(extra[0])} is not listed in {index.name}")


def _check_shard(index: Path, name: str, shard: Any) -> None:
    """A shard is a plain file name, so that an index cannot point outside of its folder."""
    if (
        not isinstance(shard, str)
        or not shard.endswith(".safetensors")
        or any(character in shard for character in "/\\:\0")
    ):
        raise CheckpointError(
            f"{index}: {printable(name)} is said to be in {shown(shard)}; it must be the name of a "
            ".safetensors file in the same folder"
        )


def _what_else(folder: Path, there: set[str]) -> str:
    """What a folder has instead of weights that are read, and what to do about it."""
    if any(name.startswith("consolidated") for name in there):
        return ("has weights under Mistral's own names (consolidated*.safetensors); take the "
                "model's Hugging Face version, which has model.safetensors")
    if "adapter_model.safetensors" in there:
        return "has an adapter (LoRA) alone; merge it into its model first"
    if there:
        return (f"has {printable(min(there))}, but neither {_SINGLE} nor {_INDEX}; rename a single "
                f"file to {_SINGLE}")
    older = sorted(path.name for path in folder.iterdir()
                   if path.name.endswith((".bin", ".pt", ".pth")))
    if older:
        return (f"has weights as pickles ({printable(older[0])}), which can run code; convert them "
                "to safetensors first")
    return f"has neither {_SINGLE} nor {_INDEX}; convert its weights to safetensors first"
