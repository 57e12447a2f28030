"""Scratch folders: gone with the block, and with a killed process once another makes one."""

import os
import subprocess
import sys
import tempfile
import time

import pytest

from trilobite.tools.programs import program, run_program
from trilobite.tools.scratch import PREFIX, abandon, scratch_folder, sweep

HOLDS = ("import sys, time\nfrom pathlib import Path\n"
         "from trilobite.tools.scratch import scratch_folder\n"
         "with scratch_folder(Path(sys.argv[1])) as folder:\n"
         "    (folder / 'inner').mkdir()\n"
         "    print(folder.name, flush=True)\n"
         "    time.sleep(1000)\n")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_goes_with_the_block_and_with_an_error(tmp_path):
    with scratch_folder(tmp_path) as folder:
        assert folder.parent == tmp_path and folder.name.startswith(PREFIX)
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("")
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_temporary_files_are_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == tmp_path


def test_that_of_a_killed_process_goes_and_that_of_a_live_one_stays(tmp_path):
    running = [subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE,
                                text=True) for _ in range(2)]
    try:
        killed, live = (process.stdout.readline().strip() for process in running)
        running[0].kill()
        running[0].wait()
        assert names(tmp_path) == sorted([killed, live])
        with scratch_folder(tmp_path) as mine, scratch_folder(tmp_path) as inner:
            assert names(tmp_path) == sorted([live, mine.name, inner.name])
    finally:
        for process in running:
            process.kill()
            process.communicate()


def test_what_holds_no_lock_stays_for_a_day(tmp_path):
    """A folder that another version is building in, without a lock, and one that it left."""
    for name in ("building-live", "building-left", "building-of-late"):
        (tmp_path / name / "inner").mkdir(parents=True)
    old = time.time() - 90_000
    for name in ("building-left", "building-left/inner", "building-of-late"):
        os.utime(tmp_path / name, (old, old))
    sweep(tmp_path, "building-")
    assert names(tmp_path) == ["building-live", "building-of-late"]


def test_a_link_and_what_another_user_owns_stay(tmp_path, monkeypatch):
    (tmp_path / "precious").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "precious")
    (tmp_path / f"{PREFIX}other").mkdir()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    sweep(tmp_path)
    assert names(tmp_path) == ["precious", f"{PREFIX}link", f"{PREFIX}other"]
    monkeypatch.setattr(os, "geteuid", lambda: user)
    sweep(tmp_path)
    assert names(tmp_path) == ["precious", f"{PREFIX}link"]


def test_removing_that_was_cut_off_is_finished_by_the_next(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    with monkeypatch.context() as cut:
        cut.setattr("shutil.rmtree", lambda *_, **__: None)
        abandon(tmp_path / "old")
    left, = names(tmp_path)
    assert left.startswith(PREFIX)
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_temporary_files_of_a_program_go_with_it(tmp_path, monkeypatch):
    """A compiler that is killed leaves them behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = run_program([program("sh"), "-c", ": > $TMPDIR/cc.s; echo $TMPDIR"], tmp_path, "Making")
    assert place.startswith(f"{tmp_path}/{PREFIX}") and names(tmp_path) == []
