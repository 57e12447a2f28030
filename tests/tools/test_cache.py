"""Folders that are made once: found whole, healed when damaged, private, and done without."""

import os
import subprocess
import sys
import time

import pytest

from trilobite.errors import ToolError
from trilobite.tools import cache as cache_module
from trilobite.tools.cache import (
    CacheWarning,
    UnusableCacheError,
    cache_folder,
    cached_folder,
    private_folder,
    warn_once,
)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The cache's folder of a kind; nothing was said or made yet."""
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache_module, "_here", {})
    warn_once.cache_clear()
    return tmp_path / "cache" / "kind"


class Fill:
    """Writes two files; ``count`` says how often."""

    def __init__(self):
        self.count = 0

    def __call__(self, folder):
        self.count += 1
        (folder / "program").write_bytes(b"\x7fELF" * 1000)
        (folder / "inner").mkdir()
        (folder / "inner" / "counts.json").write_text("{}")


@pytest.fixture
def fill():
    return Fill()


def test_a_folder_is_made_once_with_the_sums_of_its_files_beside_it(kept, fill):
    folder = cached_folder("kind", "name", fill)
    assert folder == cached_folder("kind", "name", fill) == kept / "name"
    assert fill.count == 1
    assert sorted(path.name for path in folder.iterdir()) == ["inner", "program"]
    subprocess.run(["sha256sum", "--check", "--strict", "name.sha256"], cwd=kept, check=True)
    assert kept.stat().st_mode & 0o777 == kept.parent.stat().st_mode & 0o777 == 0o700


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [empty, flip, cut, remove])
@pytest.mark.parametrize("file", ["name/program", "name/inner/counts.json", "name.sha256"])
def test_a_damaged_folder_is_made_again_once(kept, fill, damage, file):
    folder = cached_folder("kind", "name", fill)
    damage(kept / file)
    with pytest.warns(CacheWarning, match=f"The cached folder {folder} is damaged .*made again"):
        assert cached_folder("kind", "name", fill) == folder
    assert cached_folder("kind", "name", fill) == folder
    assert fill.count == 2
    assert (folder / "program").stat().st_size == 4000


def test_a_file_too_many_is_a_damage(kept, fill):
    folder = cached_folder("kind", "name", fill)
    (folder / "more").write_text("")
    with pytest.warns(CacheWarning, match="changed: name/more"):
        cached_folder("kind", "name", fill)
    assert not (folder / "more").exists()


def test_a_fill_that_fails_leaves_nothing(kept):
    def fail(folder):
        (folder / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached_folder("kind", "name", fail)
    assert [path.name for path in kept.iterdir()] == ["name.lock"]


def test_what_a_killed_process_was_building_goes_and_what_a_live_one_builds_stays(kept, fill):
    code = ("import sys, time\nfrom trilobite.tools.cache import cached_folder\n"
            "def fill(folder):\n"
            "    (folder / 'half').write_text('')\n"
            "    print('building', flush=True)\n"
            "    time.sleep(1000)\n"
            "cached_folder('kind', sys.argv[1], fill)")
    running = [subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.PIPE)
               for name in ("killed", "live")]
    try:
        for process in running:
            process.stdout.readline()
        running[0].kill()
        running[0].wait()
        assert len(list(kept.glob("trilobite-scratch-*"))) == 2
        cached_folder("kind", "name", fill)
        left, = kept.glob("trilobite-scratch-*")
        assert (left / "live" / "half").exists()
    finally:
        for process in running:
            process.kill()
            process.communicate()


def test_what_another_version_builds_stays(kept, fill):
    """One that holds no lock; a build of hours was lost to the sweep of another version."""
    (kept / "building-unlocked").mkdir(parents=True)
    cached_folder("kind", "name", fill)
    assert (kept / "building-unlocked").exists()
    old = time.time() - 100_000
    os.utime(kept / "building-unlocked", (old, old))
    cached_folder("kind", "other", fill)
    assert not (kept / "building-unlocked").exists()


def test_processes_that_want_the_same_wait_for_the_first(kept):
    code = ("import time\nfrom trilobite.tools.cache import cached_folder\n"
            "def fill(folder):\n"
            "    print('filled', flush=True)\n"
            "    time.sleep(0.3)\n"
            "    (folder / 'file').write_text('')\n"
            "cached_folder('kind', 'name', fill)")
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", code], text=True,
                                stdout=subprocess.PIPE) for _ in range(3)]
    assert sorted(process.communicate()[0] for process in running) == ["", "", "filled\n"]


def test_without_a_folder_it_is_made_for_this_process_alone(kept, fill):
    kept.parent.write_text("not a folder")
    with pytest.warns(CacheWarning, match=f"{kept} is not used: it cannot be made") as s:
        folder = cached_folder("kind", "name", fill)
        assert folder == cached_folder("kind", "name", fill)
    assert fill.count == 1 and len(s) == 1
    assert (folder / "program").exists() and str(folder) not in str(kept)


def test_what_is_made_for_one_process_goes_with_it(kept, tmp_path):
    kept.parent.write_text("not a folder")
    code = ("from trilobite.tools.cache import cached_folder\n"
            "print(cached_folder('kind', 'name', lambda folder: None))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.stdout.startswith(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert "so name is made for this run alone" in done.stderr


def test_a_disk_that_fills_up_is_done_without(kept, fill):
    def full(folder):
        if kept in folder.parents:
            raise OSError(28, "No space left on device")
        fill(folder)

    with pytest.warns(CacheWarning, match=f"Nothing can be kept in {kept} .No space left"):
        assert (cached_folder("kind", "name", full) / "program").exists()
    assert [path.name for path in kept.iterdir()] == ["name.lock"]


def test_no_room_anywhere_is_an_error(kept):
    def full(folder):
        raise OSError(28, "No space left on device")

    with pytest.warns(CacheWarning), pytest.raises(ToolError, match="set TMPDIR to a folder with"):
        cached_folder("kind", "name", full)


def test_other_errors_of_a_fill_are_its_own(kept):
    with pytest.raises(FileNotFoundError):
        cached_folder("kind", "name", lambda folder: (folder / "absent").read_text())


@pytest.mark.parametrize("place", ["kind", "."])
def test_a_folder_that_everybody_can_write_is_refused(kept, place):
    kept.mkdir(parents=True)
    exposed = (kept.parent / place).resolve()
    exposed.chmod(0o777)
    with pytest.raises(UnusableCacheError, match=f"everybody can write in {exposed}; set"):
        private_folder("kind")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("place", ["kind", "."])
def test_a_folder_of_another_user_is_refused(kept, place):
    kept.mkdir(parents=True)
    os.chown(kept.parent / place, 12345, 12345)
    with pytest.raises(UnusableCacheError, match="belongs to another user; set TRILOBITE_CACHE"):
        private_folder("kind")


def test_a_link_is_judged_by_where_it_leads(kept, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    kept.parent.mkdir()
    kept.symlink_to(tmp_path / "open")
    with pytest.raises(UnusableCacheError, match="everybody can write"):
        private_folder("kind")


def test_a_relative_xdg_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.delenv("TRILOBITE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("kind") == tmp_path / ".cache" / "trilobite" / "kind"
