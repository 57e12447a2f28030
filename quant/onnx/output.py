"""The files of one written model: complete under their names, or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from ...errors import OutputError
from ..output.atomic import OutputFile

__all__ = ["ModelOutput"]


class ModelOutput(OutputFile):
    """A model's file, with others beside it that only appear with it.

    While they are written all have hidden names. ``commit`` removes an old model first and names
    the new one last, so that a model never lies beside another one's data. The others have both
    names meanwhile, by which the next run knows what a killed one had named.

    Parameters
    ----------
    out
        The model's file.
    sources
        Files that are read, the model first; none of them may be written to.
    beside
        Names of the other files, in the same folder.
    needed_bytes, overwrite
        As of ``OutputFile``.
    """

    def __init__(
        self, out: Path, sources: list[Path], beside: list[str], needed_bytes: int,
        overwrite: bool,
    ) -> None:
        super().__init__(out, sources[0], needed_bytes, overwrite)
        self._sources = {source.resolve() for source in sources}
        self._beside = {
            self.out.with_name(name): self.out.with_name(f".{name}.trilobite-partial")
            for name in beside
        }

    def partial(self, name: str) -> Path:
        """Where to write the file that will be called ``name``; it does not exist yet."""
        return self._beside[self.out.with_name(name)]

    def __enter__(self) -> Self:
        self._check_unread()
        if self.out.exists():   # a killed run had named all of its files
            self._remove_second_names()
        super().__enter__()
        try:
            self._remove_named()   # of a killed run; nobody else has the lock
            self._check_beside()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if self.path.exists():   # not committed
            self._remove_named()
        for partial in self._beside.values():
            partial.unlink(missing_ok=True)
        super().__exit__(kind, error, trace)

    def commit(self) -> None:
        """Give all files their names; the last step."""
        self._check_free()
        self._check_unread()
        self._check_beside()
        written = {final: part for final, part in self._beside.items() if part.exists()}
        for partial in (*written.values(), self.path):
            _sync(partial)
        if self._overwrite:
            for file in (self.out, *self._beside):
                file.unlink(missing_ok=True)
        for final, partial in written.items():
            _give_name(partial, final)
        super().commit()
        self._remove_second_names()

    def _remove_named(self) -> None:
        """Remove what has its name already, and the hidden one too."""
        for final, partial in self._beside.items():
            if _same(final, partial):
                final.unlink()
            partial.unlink(missing_ok=True)

    def _remove_second_names(self) -> None:
        for final, partial in self._beside.items():
            if _same(final, partial):
                partial.unlink()

    def _check_unread(self) -> None:
        for file in (self.out, *self._beside):
            if file in self._sources:
                raise OutputError(f"{file} is read by the model; choose another name or folder")

    def _check_beside(self) -> None:
        for file in self._beside:
            if file.is_dir() or (file.exists() and not self._overwrite):
                raise OutputError(
                    f"{file} exists and would be written beside the model; choose another name, "
                    "or overwrite it (--overwrite)"
                )


def _give_name(partial: Path, final: Path) -> None:
    try:
        final.hardlink_to(partial)
    except OSError:   # a file system without links, where a kill just now is not undone
        partial.rename(final)


def _same(final: Path, partial: Path) -> bool:
    """Whether both are names of one file."""
    return final.exists() and partial.exists() and final.samefile(partial)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
