"""What every export is: planned and checked first, then written, whole or not at all."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ... import __version__
from ...errors import FormatError
from ...model import refuse_experts
from ...tools.json_text import json_text
from ...tools.progress import SILENT, Progress
from ..checkpoint import DEMOS, Checkpoint, open_checkpoint
from ..output.atomic import OutputFile, OutputFolder, write_synced
from ..output.manifest import InputFile
from ..pipeline.finite import check_numbers, float_bytes

__all__ = ["Export", "ExportRecord", "ExportedTensor", "Exporter", "export"]

_HASH_BYTES = 1 << 20
_RECORD_BYTES = 1000   # of manifest.json per tensor, rounded up
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ExportedTensor:
    """One tensor of the output.

    Attributes
    ----------
    name, shape, type, bytes
        As the other tool will see it: its name, its shape, its type by the tool's own word.
    source
        Canonical name of the tensor that it was made of.
    exact
        Whether it stands for the very numbers that the runtime computes with.
    note
        Why it has another type than was asked for; None where it has that.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    type: str
    bytes: int
    exact: bool
    note: str | None = None


@dataclass(frozen=True)
class ExportRecord:
    """What an export did: target and type, the source's name, the files, the tensors, warnings."""

    trilobite_version: str
    target: str
    type: str
    source: str
    files: tuple[InputFile, ...]
    tensors: tuple[ExportedTensor, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """The text of the record: what ``--json`` prints, and ``manifest.json`` in a folder."""
        return json_text(asdict(self)) + "\n"


class Export(ABC):
    """One export, planned: everything about it is known and checked, no weight has been read.

    Attributes
    ----------
    tensors
        Every tensor of the output.
    warnings
        Sentences that a user must see.
    needed_bytes
        Room that the output takes, rounded up.
    """

    tensors: list[ExportedTensor]
    warnings: list[str]
    needed_bytes: int

    @abstractmethod
    def write(self, path: Path, progress: Progress) -> None:
        """Write the file ``path``, or files into the folder ``path``.

        Tells ``progress`` of the source's bytes as they have been dealt with.
        """


class Exporter(ABC):
    """A target: files of one kind that other tools read.

    Attributes
    ----------
    name
        What ``--to`` takes.
    types
        What ``--type`` takes, with what each means; the first is the default.
    writes
        Whether the output is one file or a folder of files.
    """

    name: ClassVar[str]
    types: ClassVar[dict[str, str]]
    writes: ClassVar[Literal["file", "folder"]]

    @abstractmethod
    def plan(self, checkpoint: Checkpoint, type: str) -> Export:
        """Decide what becomes of each tensor of ``checkpoint``; ``type`` is one of ``types``.

        Raises
        ------
        CheckpointError, FormatError
            The target cannot hold this model, or this type cannot; names the tensor or setting.
        """


def export(
    source: str | Path, out: str | Path, exporter: Exporter, type: str | None = None,
    overwrite: bool = False, progress: Progress = SILENT,
) -> ExportRecord:
    """Write a checkpoint in the form that another tool reads, and say what was done.

    ``out`` appears only when it is complete; a folder gets the record as its manifest.json.

    Parameters
    ----------
    source
        A checkpoint, or ``demo-bitnet`` / ``demo-llama``.
    out
        The file or folder to write.
    exporter
        The target.
    type
        How weights are stored: one of ``exporter.types``; None takes the first.
    overwrite
        Replace what is there.
    progress
        Is told how far the work has come, in bytes of the source; floats are read twice.

    Raises
    ------
    CheckpointError
        The source is missing, damaged or not understood, or the target has no such architecture;
        or one of its floats is no number, which is seen before anything is written.
    FormatError
        The type is unknown, or cannot hold the model, or its weights expect rotated inputs.
    OutputError
        ``out`` exists or cannot be written; nothing is left behind.
    """
    type = type or next(iter(exporter.types))
    if type not in exporter.types:
        known = ", ".join(exporter.types)
        raise FormatError(f"{exporter.name} has no type {type!r}; it has {known}")
    with open_checkpoint(source) as checkpoint:
        refuse_experts(checkpoint.config, str(source), "export")
        if (rotated := checkpoint.rotated()) is not None:
            raise FormatError(
                f"{checkpoint.folder}: {rotated} is stored for rotated inputs, which no file that "
                "is written has; quantize it, and export the folder")
        planned = exporter.plan(checkpoint, type)
        name = str(source) if str(source) in DEMOS else checkpoint.folder.resolve().name
        room = planned.needed_bytes + _RECORD_BYTES * len(planned.tensors)
        kind = OutputFile if exporter.writes == "file" else OutputFolder
        with kind(Path(out), checkpoint.folder, room, overwrite) as output:
            stored = sum(info.nbytes for info in checkpoint.tensors.values())
            progress.start(float_bytes(checkpoint) + stored)
            check_numbers(checkpoint, checkpoint.inputs, progress)
            planned.write(output.path, progress)
            record = ExportRecord(
                __version__, exporter.name, type, name, _files(output.path, output.out.name),
                tuple(planned.tensors), tuple(planned.warnings),
            )
            if output.path.is_dir():
                write_synced(output.path / MANIFEST, record.to_json())
            output.commit()
    return record


def _files(path: Path, name: str) -> tuple[InputFile, ...]:
    """The written files by name, with their hashes."""
    files = {file.name: file for file in path.iterdir()} if path.is_dir() else {name: path}
    return tuple(
        InputFile(name, file.stat().st_size, _sha256(file)) for name, file in sorted(files.items())
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BYTES):
            digest.update(block)
    return digest.hexdigest()
