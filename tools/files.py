"""Files of strangers and files for users: regular, bounded, and where they were asked for.

A path that somebody names, or that lies in a folder which somebody made, can be a pipe that never
ends, a device, a link to another place or a folder. What is read goes through ``open_regular`` or
``read_bounded``; what is written as one small file through ``write_output``.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from ..errors import OutputError, TrilobiteError

__all__ = [
    "check_within", "create", "is_own_file", "open_regular", "read_bounded", "read_text_bounded",
    "write_output",
]

# Content of a model in a Hugging Face cache: snapshots/REVISION/NAME -> ../../blobs/HASH.
_HUB_SNAPSHOTS, _HUB_BLOBS = "snapshots", "blobs"
_TOKEN = re.compile(r"[0-9a-f]{16}\.tmp")   # ends the name of what is being written


def open_regular(path: Path, error: type[TrilobiteError] = TrilobiteError) -> io.FileIO:
    """Open a regular file for reading, unbuffered; a pipe is not waited for.

    Raises
    ------
    TrilobiteError
        As ``error``: there is no such file, it cannot be read, or it is a folder, a device, a pipe
        or a socket.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as reason:
        raise error(f"{path} cannot be read: {_words(reason)}") from None
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise error(f"{path} is {_kind(kind)}; it must be a regular file")
    return io.FileIO(descriptor, "rb")


def check_within(folder: Path, path: Path, error: type[TrilobiteError]) -> None:
    """Raise ``error`` if ``path``, an entry of ``folder``, is a link that leads out of it.

    A link may lead to the files of a Hugging Face cache that the folder is a snapshot of.
    """
    if not path.is_symlink():
        return
    try:
        target, inside = path.resolve(strict=True), folder.resolve(strict=True)
    except (OSError, RuntimeError) as reason:
        raise error(f"{path} is a link that leads nowhere: {_words(reason)}") from None
    blobs = inside.parent.with_name(_HUB_BLOBS) if inside.parent.name == _HUB_SNAPSHOTS else inside
    if not (target.is_relative_to(inside) or target.is_relative_to(blobs)):
        raise error(f"{path} is a link to {target}, outside of its folder; put a copy in its place")


def read_bounded(
    path: Path, limit: int, error: type[TrilobiteError] = TrilobiteError,
    within: Path | None = None,
) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; raises as ``open_regular`` does.

    ``within``: the folder that it must not be a link out of.
    """
    if within is not None:
        check_within(within, path, error)
    with open_regular(path, error) as file:
        try:
            content = io.BufferedReader(file).read(limit + 1)
        except OSError as reason:
            raise error(f"{path} cannot be read: {_words(reason)}") from None
    if len(content) > limit:
        raise error(f"{path} is larger than {_size(limit)}, the most that is read of such a file")
    return content


def read_text_bounded(
    path: Path, limit: int, error: type[TrilobiteError] = TrilobiteError,
    within: Path | None = None,
) -> str:
    """Read a file in UTF-8 as ``read_bounded`` does, without the byte order mark in front."""
    try:
        return read_bounded(path, limit, error, within).decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not UTF-8: {reason.reason} at byte {reason.start}") from None


def create(path: Path) -> int:
    """A descriptor of a new file; ``FileExistsError`` if its name is taken, be it by a link."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o666)


def is_own_file(path: Path) -> bool:
    """Whether ``path`` is a regular file, no link, and has no other name."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def write_output(path: Path, content: str | bytes) -> None:
    """Write one small file, text as UTF-8: complete, or as it was before.

    A regular file is replaced in one step, a link's target likewise; into a pipe or a character
    device, such as /dev/stdout, the content is written.

    Raises
    ------
    OutputError
        Its folder does not exist, it cannot be written, or it is a folder, a disk or a socket.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path = path.expanduser()
        kind = _kind_of(path)
        if kind in (stat.S_IFIFO, stat.S_IFCHR):
            with path.open("wb") as stream:
                stream.write(data)
            return
        if kind not in (None, stat.S_IFREG):
            raise OutputError(f"{path} is {_kind(kind)}; name a file to write")
        _replace(path.resolve(), data)
    except (OSError, RuntimeError, ValueError) as reason:
        raise OutputError(f"{path} cannot be written: {_words(reason)}") from None


def _replace(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` under a name that nobody can have planted, then move it."""
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: the folder {path.parent} does not exist")
    _remove_abandoned(path)
    fresh, descriptor = _locked_fresh(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            os.fsync(file.fileno())
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _locked_fresh(path: Path) -> tuple[Path, int]:
    """A new file beside ``path`` and its descriptor, which holds a lock on it."""
    while True:
        fresh = path.with_name(f"{_fresh_prefix(path)}{secrets.token_hex(8)}.tmp")
        descriptor = create(fresh)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if fresh.exists():   # else another process took it for abandoned before it was locked
            return fresh, descriptor
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove what killed processes left that were writing ``path``: nobody has locked it."""
    prefix = _fresh_prefix(path)
    for left in path.parent.iterdir():
        name = left.name
        if name.startswith(prefix) and _TOKEN.fullmatch(name, len(prefix)) and is_own_file(left):
            with suppress(OSError), open_regular(left) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def _fresh_prefix(path: Path) -> str:
    return f".{path.name[:100]}."


def _kind_of(path: Path) -> int | None:
    """The type bits of what ``path`` leads to; None if there is nothing."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _kind(kind: int) -> str:
    return {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device", stat.S_IFSOCK: "a socket",
    }.get(kind, "no file")


def _words(reason: Exception) -> str:
    """Why, without the path that the sentence has named."""
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason)


def _size(limit: int) -> str:
    return f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
