"""A safetensors file that remembers, beside itself, which of its tensors are finished.

After a kill the next run of the same quantization goes on behind them. ``journal.jsonl`` has one
line for what is being done (a hash of inputs and options) and one per finished tensor: its record,
and the SHA-256 of the bytes that it is stored as, which are checked before they are trusted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .formats import PackedWeight
from .manifest import TensorRecord
from .plan import PlannedTensor
from .writer import SafetensorsWriter, StoredTensor

__all__ = ["JOURNAL", "ResumableWriter", "continues", "journal_key"]

JOURNAL = "journal.jsonl"
_FILE = "model.safetensors"


def journal_key(description: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON ``description`` of all that decides the bytes of the folder."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The journal's lines; the last one may have been cut off, and is left out then."""
    path = folder / JOURNAL
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return [line for line in lines if isinstance(line, dict)]


def continues(folder: Path, key: str) -> bool:
    """Whether ``folder`` is an unfinished one that a run with ``key`` can go on with."""
    lines = _lines(folder)
    return bool(lines) and lines[0].get("key") == key and (folder / _FILE).is_file()


class ResumableWriter(SafetensorsWriter):
    """``model.safetensors`` of an unfinished ``folder``, and its journal.

    Where ``continues(folder, key)``, tensors that the journal says are finished, and whose bytes
    are those that it says, are ``restored``; all others are to be written. Other files in the
    folder are removed: they belong to the end, where all are written.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, StoredTensor], key: str) -> None:
        self._restored: dict[str, TensorRecord] = {}
        resume = continues(folder, key)
        for path in folder.iterdir():
            if path.name not in (JOURNAL, _FILE):
                path.unlink()
        super().__init__(folder / _FILE, tensors, resume)
        lines = [line for line in _lines(folder) if "record" in line] if resume else []
        for line in lines:
            self._restore(line)
        self._journal = (folder / JOURNAL).open("w", encoding="utf-8")
        self._write_line({"key": key})
        for line in lines:
            if line["record"]["name"] in self._restored:
                self._write_line(line)

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._journal.close()
        super().__exit__(kind, *exception)

    @property
    def restored(self) -> Mapping[str, TensorRecord]:
        """The records of the tensors that an earlier run finished."""
        return self._restored

    def packed(self, tensor: PlannedTensor) -> PackedWeight:
        """A restored matrix that has a format, as the earlier run wrote it."""
        parts = {
            name.removeprefix(f"{tensor.name}_"): self.stored(name) for name in tensor.stored()
        }
        return PackedWeight(tensor.format, tensor.info.shape, parts)

    def finish(self, tensor: PlannedTensor, record: TensorRecord) -> None:
        """Write down that all parts of ``tensor`` are in the file."""
        self.flush()
        digests = {name: self.digest(name) for name in tensor.stored()}
        self._write_line({"record": asdict(record), "sha256": digests})

    def _write_line(self, line: dict[str, Any]) -> None:
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()

    def _restore(self, line: dict[str, Any]) -> None:
        digests = line["sha256"]
        if all(self.keep(name, digest) for name, digest in digests.items()):
            record = line["record"]
            shape = tuple(record["shape"])
            self._restored[record["name"]] = TensorRecord(**{**record, "shape": shape})
