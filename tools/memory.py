"""How much memory there is, before much of it is asked for."""

from __future__ import annotations

from pathlib import Path

from ..errors import TrilobiteError

__all__ = ["available_memory", "require_memory"]

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that this process can still take without others swapping; None if nobody says.

    What Linux calls available, swap included, and no more than its control group leaves.
    """
    try:
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        free = sum(1024 * int(fields[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit = int((_GROUP / "memory.max").read_text())
        return min(free, max(0, limit - int((_GROUP / "memory.current").read_text())))
    except (OSError, ValueError):   # no such group, or its limit is "max"
        return free


def require_memory(nbytes: int, what: str) -> None:
    """Raise ``TrilobiteError`` if ``nbytes`` for ``what`` are more than there is."""
    available = available_memory()
    if available is not None and nbytes > available:
        raise TrilobiteError(
            f"{what} takes {nbytes / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB are "
            "available"
        )
