"""Memory is asked for only if it is there."""

import pytest

from trilobite.errors import TrilobiteError
from trilobite.tools import memory

MEMINFO = "MemTotal: 9 kB\nMemAvailable:    3000000 kB\nSwapFree:  1000000 kB\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    (tmp_path / "meminfo").write_text(MEMINFO)
    return tmp_path


@pytest.mark.parametrize(("limit", "used", "expected"), [
    (None, None, 4_096_000_000), ("max", "5", 4_096_000_000),
    ("1000000000", "400000000", 600_000_000), ("100", "400", 0), ("9000000000", "0", 4_096_000_000),
])
def test_what_is_available_is_the_machines_or_the_groups(machine, limit, used, expected):
    if limit:
        (machine / "memory.max").write_text(limit + "\n")
        (machine / "memory.current").write_text(used + "\n")
    assert memory.available_memory() == expected


def test_more_than_there_is_is_refused_and_nobody_knows_is_not(machine):
    memory.require_memory(4_096_000_000, "It")
    with pytest.raises(TrilobiteError, match=r"takes 4\.2 GB of memory, and 4\.1 GB are avail"):
        memory.require_memory(4_200_000_000, "It")
    (machine / "meminfo").unlink()
    assert memory.available_memory() is None
    memory.require_memory(1 << 60, "It")


def test_this_machine_has_some():
    assert memory.available_memory() > 1 << 20
