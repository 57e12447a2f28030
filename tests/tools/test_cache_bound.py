"""A cache holds so many bytes: what was not used for the longest time goes first."""

import fcntl
import os
import subprocess
import sys
import time

import pytest

from trilobite.errors import ToolError
from trilobite.tools import cache_bound
from trilobite.tools.cache import cached_folder
from trilobite.tools.cache_bound import lock_file, most_bytes, sums_file
from trilobite.tools.scratch import locked


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of a kind, which may hold 2,500 bytes."""
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRILOBITE_CACHE_BYTES", "2500")
    monkeypatch.setattr(cache_bound, "_seen", set())
    monkeypatch.setattr(cache_bound, "_added", {})
    return tmp_path / "cache" / "kind"


def make(name, hours=0):
    """A folder of 1,000 bytes, last used so many hours ago."""
    folder = cached_folder("kind", name, lambda folder: (folder / "file").write_bytes(bytes(1000)))
    if hours:
        used = time.time() - 3600 * hours
        os.utime(sums_file(folder), (used, used))
    return folder


def there(kept):
    return sorted(path.name for path in kept.iterdir() if path.is_dir())


def test_what_was_not_used_for_the_longest_time_goes(kept):
    make("b", hours=3)
    make("a", hours=4)
    make("c")
    assert there(kept) == ["b", "c"]
    assert not sums_file(kept / "a").exists()
    make("b")   # used, so young
    make("c", hours=5)
    make("d")
    assert there(kept) == ["b", "d"]


def test_what_was_used_within_the_hour_stays_however_much_that_is(kept):
    for name in "abcd":
        make(name)
    assert there(kept) == ["a", "b", "c", "d"]


def test_what_another_process_makes_is_not_removed(kept):
    make("a", hours=3)
    make("b", hours=2)
    with locked(lock_file(kept / "a"), fcntl.LOCK_NB):
        make("c")
    assert there(kept) == ["a", "c"]


def test_removing_that_was_cut_off_leaves_nothing_damaged(kept, recwarn):
    """Killed at any step of it, the next use makes the folder, or finds it whole."""
    code = ("import os, signal, sys\n"
            "from trilobite.tools import cache_bound, scratch\n"
            "from pathlib import Path\n"
            "steps = int(sys.argv[2])\n"
            "def event(name, arguments):\n"
            "    global steps\n"
            "    steps -= name in ('os.rename', 'os.remove', 'os.rmdir', 'shutil.rmtree')\n"
            "    if steps < 0 and name != 'os.kill':\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "sys.addaudithook(event)\n"
            "folder = Path(sys.argv[1])\n"
            "entry, = cache_bound._entries(folder.parent)\n"
            "cache_bound._remove(entry)\n")
    codes = []
    for step in range(6):
        folder = make("a", hours=2)
        codes.append(subprocess.run([sys.executable, "-c", code, folder, str(step)],
                                    check=False).returncode)
        assert make("a") == folder and (folder / "file").stat().st_size == 1000
        assert there(kept) == ["a"]
    assert codes[0] == -9 and codes[-1] == 0
    assert not recwarn.list


def test_it_is_looked_through_again_when_much_was_added(kept, monkeypatch):
    monkeypatch.setenv("TRILOBITE_CACHE_BYTES", "100000")
    looked = []
    monkeypatch.setattr(cache_bound, "_entries", lambda kind: looked.append(kind) or [])
    for number in range(9):
        make(str(number))
    assert looked == [kept] * 3   # at once, and after more than 3,125 bytes each time


def test_the_bound_is_a_number_of_bytes(kept, monkeypatch):
    assert most_bytes() == 2500
    for text in ("2 GiB", "-1", "1e9", "9" * 5000, "²"):
        monkeypatch.setenv("TRILOBITE_CACHE_BYTES", text)
        with pytest.raises(ToolError, match="TRILOBITE_CACHE_BYTES is '.*must be a whole number"):
            make("a")
    monkeypatch.delenv("TRILOBITE_CACHE_BYTES")
    assert most_bytes() == 2 << 30
