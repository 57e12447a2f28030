"""Hashes of the input files, computed beside the work, and pages that the cache may drop.

Work and hashing each read every file once. A large one passes through the system's cache while
both do, and leaves it behind them: memory that is filled for the first time costs a virtual machine
more than the reading, and what else is in the cache stays there.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Condition
from typing import NamedTuple, Self

from ...errors import CheckpointError
from ...tools.files import open_regular
from ...tools.progress import Progress
from ..checkpoint import TensorInfo
from ..output.manifest import InputFile

__all__ = ["InputHashes", "hashed", "is_large", "let_go", "total_size"]

_HASH_BYTES = 4 << 20
_LEAD_BYTES = 256 << 20   # that hashing may be ahead of the work
_LARGE_SHARE = 4          # files are large from this part of the machine's memory on


class _StoppedError(Exception):
    """The work has failed: no hash is needed any more."""


class _Range(NamedTuple):
    """Bytes of a file."""

    begin: int
    end: int


class InputHashes:
    """``hashed`` of each of ``paths``, in a thread beside the work; a context manager.

    The work says which tensors it is done with (``let_go``), where each is read no more than once.
    Then hashing of large files keeps near to it, and what both have passed leaves the system's
    cache.
    """

    def __init__(self, paths: Sequence[Path], once: bool) -> None:
        self._paths = paths
        self._limited = once and is_large(total_size(paths))
        self._changed = Condition()
        self._hashed: dict[Path, int] = defaultdict(int)
        self._waiting: dict[Path, list[_Range]] = defaultdict(list)   # for hashing to pass them
        self._lead = 0
        self._failed = False

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1)
        self._futures: list[Future[InputFile]] = [
            self._thread.submit(self._hash, path) for path in self._paths
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._failed = kind is not None
        self._free_run()
        self._thread.shutdown(wait=kind is None, cancel_futures=True)

    def let_go(self, tensor: TensorInfo) -> None:
        """The work reads ``tensor`` no more."""
        if not self._limited or tensor.begin is None:
            return
        span = _Range(tensor.begin, tensor.begin + tensor.nbytes)
        with self._changed:
            self._lead -= tensor.nbytes
            passed = span.end <= self._hashed[tensor.file]
            if not passed:
                self._waiting[tensor.file].append(span)
            self._changed.notify()
        if passed:
            _drop(tensor.file, [span])

    def files(self, progress: Progress) -> list[InputFile]:
        """What the files are, once all are hashed; ``progress`` advances by their bytes."""
        self._free_run()
        files = []
        for future in self._futures:
            files.append(future.result())
            progress.advance(files[-1].bytes)
        return files

    def _free_run(self) -> None:
        """Allow hashing to continue ahead of the work."""
        with self._changed:
            self._limited = False
            self._changed.notify()

    def _hash(self, path: Path) -> InputFile:
        return hashed(path, lambda count: self._passed(path, count))

    def _passed(self, path: Path, count: int) -> None:
        """``count`` more bytes of ``path`` are hashed."""
        with self._changed:
            self._lead += count
            self._hashed[path] += count
            waiting = self._waiting[path]
            done = [span for span in waiting if span.end <= self._hashed[path]]
            self._waiting[path] = [span for span in waiting if span.end > self._hashed[path]]
            self._changed.wait_for(lambda: not self._limited or self._lead <= _LEAD_BYTES)
        if self._failed:
            raise _StoppedError
        _drop(path, done)


def hashed(path: Path, advance: Callable[[int], None]) -> InputFile:
    """A file's name, size and hash; tells ``advance`` of its bytes."""
    digest = hashlib.sha256()
    size = 0
    block = memoryview(bytearray(_HASH_BYTES))   # one for all: new memory costs as much as reading
    with open_regular(path, CheckpointError) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
            size += count
            advance(count)
    return InputFile(path.name, size, digest.hexdigest())


def total_size(files: Sequence[Path]) -> int:
    """Bytes of all ``files``."""
    return sum(path.stat().st_size for path in files)


def is_large(nbytes: int) -> bool:
    """Whether the system can be told what to keep of its memory, and should be."""
    if not hasattr(os, "posix_fadvise"):
        return False
    return nbytes * _LARGE_SHARE > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def let_go(tensor: TensorInfo) -> None:
    """Take a tensor that was read, and will not be soon, out of the system's cache."""
    if tensor.begin is not None:
        _drop(tensor.file, [_Range(tensor.begin, tensor.begin + tensor.nbytes)])


def _drop(path: Path, spans: Sequence[_Range]) -> None:
    """Take the whole pages of ``spans`` out of the system's cache."""
    if not spans:
        return
    with open_regular(path, CheckpointError) as file:
        for begin, end in spans:
            os.posix_fadvise(file.fileno(), begin, end - begin, os.POSIX_FADV_DONTNEED)
