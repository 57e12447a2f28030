"""A GGUF model in several files, as llama.cpp's gguf-split writes them.

Each file says which one it is (``split.no``, from 0), of how many (``split.count``), and how many
tensors there are in all (``split.tensors.count``). The first has the model's metadata. Their names
end in ``-00001-of-00003.gguf``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from ....errors import CheckpointError
from ....tools.files import check_within
from .closing import HoldsFiles
from .fields import printable, shown
from .gguf_file import GgufFile, GgufTensor

__all__ = ["GgufModel", "open_gguf"]

_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_MOST = 1000   # files


def open_gguf(path: Path) -> GgufModel:
    """Open the GGUF file ``path``, with the others of its model if it is one of several.

    Raises
    ------
    CheckpointError
        As ``GgufFile`` does; a file of the model is missing, or says that it belongs to another
        one; names the file.
    """
    first = GgufFile(path)
    files = [first]
    try:
        for other in _others(first):
            check_within(path.parent, other, CheckpointError)
            files.append(GgufFile(other))
        return GgufModel(files)
    except BaseException:
        for file in files:
            file.close()
        raise


def _others(first: GgufFile) -> list[Path]:
    """The further files of the model that ``first`` begins."""
    path = first.path
    count, number = (_stated(first, key) for key in ("split.count", "split.no"))
    if count is None or count <= 1:
        return []
    match = _NAME.fullmatch(path.name)
    if number is not None and number != 0:
        begin = f"{match[1]}-00001-of-{match[3]}.gguf" if match else "the first of them"
        raise CheckpointError(
            f"{path} is file {number + 1} of {count} of a model; name {printable(begin)}"
        )
    if match is None or int(match[3]) != count or int(match[2]) != 1:
        raise CheckpointError(
            f"{path} is the first of {count} files of a model; its name must end in "
            f"-00001-of-{count:05}.gguf, so that the others are found"
        )
    return [path.with_name(f"{match[1]}-{index:05}-of-{match[3]}.gguf")
            for index in range(2, count + 1)]


def _stated(file: GgufFile, key: str) -> int | None:
    value = file.metadata.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= _MOST):
        raise CheckpointError(
            f"{file.path}: {key} is {shown(value)}; it must be an integer from 0 to {_MOST}"
        )
    return value


class GgufModel(HoldsFiles):
    """The metadata and tensors of one GGUF file or several; a context manager.

    Attributes
    ----------
    path, metadata
        Of the first file.
    paths
        Of all files.
    tensors
        Name to tensor, file by file.
    """

    def __init__(self, files: list[GgufFile]) -> None:
        self._files = files
        self.path = files[0].path
        self.paths = tuple(file.path for file in files)
        self.metadata: Mapping[str, Any] = files[0].metadata
        self._holders: dict[str, GgufFile] = {}
        for number, file in enumerate(files):
            self._check_number(file, number)
            for name in file.tensors:
                if name in self._holders:
                    raise CheckpointError(
                        f"{file.path}: the tensor {printable(name)} is in "
                        f"{self._holders[name].path.name}, too"
                    )
                self._holders[name] = file
        self.tensors: Mapping[str, GgufTensor] = {
            name: file.tensors[name] for name, file in self._holders.items()
        }
        self._check_total()

    @override
    def close(self) -> None:
        for file in self._files:
            file.close()

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows of a tensor as stored, see ``GgufFile.rows``."""
        return self._holders[name].rows(name, start, stop)

    def holder(self, name: str) -> Path:
        """The file that holds a tensor."""
        return self._holders[name].path

    def _check_number(self, file: GgufFile, number: int) -> None:
        if len(self._files) == 1:
            return
        said = _stated(file, "split.no"), _stated(file, "split.count")
        if said != (number, len(self._files)):
            raise CheckpointError(
                f"{file.path} says that it is file {said[0]} of {said[1]} (split.no, split.count); "
                f"it must be {number} of {len(self._files)}"
            )

    def _check_total(self) -> None:
        total = self.metadata.get("split.tensors.count")
        if len(self._files) > 1 and total is not None and total != len(self.tensors):
            raise CheckpointError(
                f"{self.path}: split.tensors.count is {shown(total)}; the {len(self._files)} files "
                f"have {len(self.tensors)} tensors"
            )
