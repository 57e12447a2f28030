"""A safetensors file that remembers, beside itself, which of its tensors are finished.

After a kill the next run of the same quantization continues after them. ``journal.jsonl`` has one
line for what is being done (a hash of inputs and options) and one per finished tensor: its record,
and the SHA-256 of the bytes that it is stored as, which are checked before they are trusted.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import TrilobiteError
from ...tools.files import create, is_own_file, read_bounded
from ..formats import PackedWeight
from ..output.manifest import TensorRecord
from ..output.safetensors_writer import SafetensorsWriter, TensorEntry
from ..plan.plan import PlannedTensor

__all__ = ["JOURNAL", "ResumableWriter", "continues", "journal_key"]

JOURNAL = "journal.jsonl"
_FILE = "model.safetensors"
_JOURNAL_LIMIT = 64 << 20   # bytes; a line has under 1 kB, a model under ten thousand tensors
_ERRORS = ("nmse", "max_abs_error", "output_nmse")   # what a record says beyond the plan


def journal_key(description: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON ``description`` of all that decides the bytes of the folder."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The journal's lines up to the first that is none; the last one may have been cut off."""
    try:
        text = read_bounded(folder / JOURNAL, _JOURNAL_LIMIT)
    except TrilobiteError:
        return []
    lines = []
    for line in text.split(b"\n")[:-1]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        lines.append(value)
    return lines


def continues(folder: Path, key: str) -> bool:
    """Whether ``folder`` is unfinished and a run with ``key`` can resume it."""
    if not all(is_own_file(folder / name) for name in (JOURNAL, _FILE)):
        return False
    lines = _lines(folder)
    return bool(lines) and lines[0].get("key") == key


def _error_value(record: Mapping[str, Any], name: str) -> float | None:
    """An error that a record states: a number that is none but a finite one, or None."""
    value = record.get(name)
    if not isinstance(value, float | int) or isinstance(value, bool) or not 0 <= value < math.inf:
        return None
    return float(value)


class ResumableWriter(SafetensorsWriter):
    """``model.safetensors`` of an unfinished ``folder``, and its journal.

    Where ``continues(folder, key)``, tensors of the plan that the journal says are finished, and
    whose bytes are those that it says, are ``restored``; all others are to be written. A line that
    does not fit the plan counts for nothing. Other files in the folder are removed: they belong to
    the end, where all are written.
    """

    def __init__(
        self, folder: Path, tensors: Mapping[str, TensorEntry], key: str,
        planned: Sequence[PlannedTensor],
    ) -> None:
        self._restored: dict[str, TensorRecord] = {}
        by_name = {tensor.name: tensor for tensor in planned}
        resume = continues(folder, key)
        for path in folder.iterdir():
            if path.name not in (JOURNAL, _FILE):
                path.unlink()
        super().__init__(folder / _FILE, tensors, resume)
        found = _lines(folder)[1:] if resume else []
        lines = [line for line in found if self._restore(line, by_name)]
        (folder / JOURNAL).unlink(missing_ok=True)
        self._journal = os.fdopen(create(folder / JOURNAL), "w", encoding="utf-8")
        self._write_line({"key": key})
        for line in lines:
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
        return PackedWeight(tensor.coded_format, tensor.info.matrix, parts)

    def finish(self, tensor: PlannedTensor, record: TensorRecord) -> None:
        """Write down that all parts of ``tensor`` are in the file."""
        self.flush()
        digests = {name: self.digest(name) for name in tensor.stored()}
        self._write_line({"record": asdict(record), "sha256": digests})

    def _write_line(self, line: dict[str, Any]) -> None:
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()

    def _restore(self, line: Mapping[str, Any], planned: Mapping[str, PlannedTensor]) -> bool:
        """Take over what ``line`` says is finished; whether it fits the plan and the file."""
        record, digests = line.get("record"), line.get("sha256")
        if not isinstance(record, dict) or not isinstance(digests, dict):
            return False
        name = record.get("name")
        if not isinstance(name, str):
            return False
        tensor = planned.get(name)
        if tensor is None or name in self._restored or set(digests) != set(tensor.stored()):
            return False
        errors = {key: _error_value(record, key) for key in _ERRORS}
        restored = tensor.record(**errors)
        if {**asdict(restored), "shape": list(restored.shape)} != record:
            return False
        if not self.keep(digests):
            return False
        self._restored[name] = restored
        return True
