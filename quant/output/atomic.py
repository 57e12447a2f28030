"""An output, folder or file, that is either complete or not there."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from ...errors import OutputError, TrilobiteError
from ...tools.files import create, read_bounded

__all__ = ["OutputFile", "OutputFolder", "write_synced"]

_MANIFEST_LIMIT = 64 << 20
_SPARE_BYTES = 16 << 20   # room left for the file system's own bookkeeping


class OutputFolder:
    """Files are written to ``path``, a hidden folder beside ``out``; ``commit`` gives it its name.

    A context manager: leaving it without ``commit`` (an error, Ctrl-C) removes ``path``. A killed
    process leaves ``.OUT.trilobite-partial``, which the next run for the same ``out`` removes;
    a lock on the folder tells a dead process from one that is still writing. Where
    ``continues(path)`` says so, it is not removed but continued: ``resumed``. With ``overwrite``
    the former folder stays until the new one is complete; between two renames it is called
    ``.OUT.trilobite-replaced``, and the next run puts it back if it finds it so.

    Raises
    ------
    OutputError
        On entering: ``out`` exists (and ``overwrite`` is not set, or it is not a folder that
        Trilobite wrote), it overlaps ``source``, ``needed_bytes`` are not free, or another
        process writes there. Later: any ``OSError`` inside the context.
    """

    def __init__(
        self, out: Path, source: Path, needed_bytes: int, overwrite: bool,
        continues: Callable[[Path], bool] = lambda folder: False,
    ) -> None:
        self.resumed = self.started_over = False
        self._continues = continues
        self.out = resolved(out)
        self.path = self.out.with_name(f".{self.out.name}.trilobite-partial")
        self._replaced = self.out.with_name(f".{self.out.name}.trilobite-replaced")
        self._overwrite = overwrite
        self._source = source.resolve()
        self._needed_bytes = needed_bytes

    def __enter__(self) -> Self:
        _check_apart(self.out, self._source)
        held = None
        try:
            held = self._take_partial()
            self._recover()
            self._check_free()
            _check_space(self.out, self._needed_bytes - (_folder_bytes(self.path) if held else 0))
            self.out.parent.mkdir(parents=True, exist_ok=True)
            if held is None:
                self.path.mkdir()
                held = _lock(self.path)
            self._lock = held
            return self
        except OSError as error:
            raise _output_error(self.out, error) from error
        except KeyboardInterrupt:   # nobody calls __exit__
            if held is not None:
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)   # not there any more once committed
        with suppress(OSError):
            self._recover()   # a commit that Ctrl-C cut off
        os.close(self._lock)
        if isinstance(error, OSError):
            raise _output_error(self.out, error) from error

    def commit(self) -> None:
        """Give the finished folder its name; the last step."""
        self._check_free()   # again: much time may have passed
        _sync_folder(self.path)
        if self.out.exists():
            self.out.rename(self._replaced)
            try:
                self.path.rename(self.out)
            except BaseException:
                self._replaced.rename(self.out)
                raise
            _sync_folder(self.out.parent)
            shutil.rmtree(self._replaced)
        else:
            self.path.rename(self.out)
            _sync_folder(self.out.parent)

    def _check_free(self) -> None:
        if not self.out.exists():
            return
        if not self._overwrite:
            raise OutputError(
                f"{self.out} exists; choose another folder, or overwrite it (--overwrite)"
            )
        if not _is_ours(self.out):
            raise OutputError(
                f"{self.out} exists and was not written by Trilobite, so it is not overwritten; "
                "remove it yourself, or choose another folder"
            )

    def _recover(self) -> None:
        """Undo or finish a replacement that was cut off between its two renames."""
        if not self._replaced.exists():
            return
        if self.out.exists():
            shutil.rmtree(self._replaced)
        else:
            self._replaced.rename(self.out)

    def _take_partial(self) -> int | None:
        """The lock of the folder that a killed process left, if it is continued; else None."""
        if not os.path.lexists(self.path):
            return None
        if self.path.is_symlink() or not self.path.is_dir():   # not a folder that we left
            self.path.unlink()
            return None
        lock = _lock(self.path)
        self.resumed = self._continues(self.path)
        if self.resumed:
            return lock
        self.started_over = any(self.path.iterdir())   # else it had not begun to write
        try:
            shutil.rmtree(self.path)
        finally:
            os.close(lock)
        return None


class OutputFile:
    """One file, written at ``path``, a hidden name beside ``out``; ``commit`` gives it its name.

    A context manager: leaving it without ``commit`` removes ``path``; a killed process leaves
    ``.OUT.trilobite-partial``, which the next run for the same ``out`` replaces. ``path`` is
    there, empty and locked, on entering: write into it without replacing it.

    Raises
    ------
    OutputError
        On entering: ``out`` exists and ``overwrite`` is not set, or it is no file, or lies in
        ``source`` if one is given, ``needed_bytes`` are not free, or another process writes there.
        Later: any
        ``OSError`` inside the context.
    """

    def __init__(
        self, out: Path, source: Path | None, needed_bytes: int, overwrite: bool
    ) -> None:
        self.out = resolved(out)
        self.path = self.out.with_name(f".{self.out.name}.trilobite-partial")
        self._overwrite = overwrite
        self._source = source and source.resolve()
        self._needed_bytes = needed_bytes

    def __enter__(self) -> Self:
        if self._source:
            _check_apart(self.out, self._source)
        try:
            self._check_free()
            _check_space(self.out, self._needed_bytes)
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._create()
        except OSError as error:
            raise _output_error(self.out, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self.path.unlink(missing_ok=True)   # not there any more once committed
        os.close(self._lock)
        if isinstance(error, OSError):
            raise _output_error(self.out, error) from error

    def commit(self) -> None:
        """Put the finished file on the disk and give it its name; the last step."""
        self._check_free()   # again: much time may have passed
        os.fsync(self._lock)
        self.path.rename(self.out)
        _sync_folder(self.out.parent)

    def _create(self) -> int:
        """The lock of ``path``, made anew: what lies there may be a link, or have a second name."""
        if self.path.is_symlink():
            self.path.unlink()
        elif self.path.exists():
            held = _lock(self.path)
            self.path.unlink()
            os.close(held)
        descriptor = create(self.path)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def _check_free(self) -> None:
        if self.out.is_dir():
            raise OutputError(f"{self.out} is a folder; name the file to write")
        if self.out.exists() and not self.out.is_file():
            raise OutputError(f"{self.out} is a pipe or a device; name the file to write")
        if self.out.exists() and not self._overwrite:
            raise OutputError(
                f"{self.out} exists; choose another file, or overwrite it (--overwrite)"
            )


def resolved(out: Path) -> Path:
    """Where an output will lie; a path that no system takes is an ``OutputError``."""
    try:
        path = out.expanduser().resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(f"{str(out)[:80]!r} is no path to write to: {error}") from None
    return path


def write_synced(path: Path, content: str | bytes) -> None:
    """Write a small file, text as UTF-8, and put it on the disk."""
    with path.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def _check_apart(out: Path, source: Path) -> None:
    if out == source or out.is_relative_to(source) or source.is_relative_to(out):
        raise OutputError(
            f"The output {out} and the source {source} overlap; choose one beside the source"
        )


def _check_space(out: Path, needed_bytes: int) -> None:
    parent = next(folder for folder in out.parents if folder.exists())
    free = shutil.disk_usage(parent).free
    if free < needed_bytes + _SPARE_BYTES:
        raise OutputError(
            f"{out} needs {needed_bytes / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free in {parent}"
        )


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _is_ours(folder: Path) -> bool:
    """Whether a folder is empty or holds a manifest of Trilobite's."""
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    try:
        manifest = json.loads(read_bounded(folder / "manifest.json", _MANIFEST_LIMIT))
    except (TrilobiteError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and "trilobite_version" in manifest


def _lock(path: Path) -> int:
    """A descriptor of a folder or file that holds a lock until it is closed or the process ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputError(f"Another process writes to {path}; wait until it is done") from None
    return descriptor


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _output_error(out: Path, error: OSError) -> OutputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(f"{out} cannot be written: the disk is full; nothing was left behind")
    return OutputError(f"{out} cannot be written: {error}; nothing was left behind")
