"""The output folder: complete or not there, whatever happens."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from trilobite.errors import OutputError
from trilobite.quant.output.atomic import OutputFolder


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(out, source, text="new", needed_bytes=0, overwrite=False):
    with OutputFolder(out, source, needed_bytes, overwrite) as folder:
        (folder.path / "manifest.json").write_text(json.dumps({"trilobite_version": text}))
        folder.commit()


def written(out):
    return json.loads((out / "manifest.json").read_text())["trilobite_version"]


def test_the_folder_appears_when_committed(tmp_path, source):
    out = tmp_path / "deep" / "out"
    with OutputFolder(out, source, 0, overwrite=False) as folder:
        (folder.path / "weights").write_bytes(b"1")
        assert not out.exists()
        folder.commit()
        assert names(out) == ["weights"]
    assert names(out.parent) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OutputError])
def test_nothing_is_left_after_an_error(tmp_path, source, error):
    with pytest.raises(error), OutputFolder(tmp_path / "out", source, 0, False) as folder:
        (folder.path / "weights").write_bytes(b"1")
        raise error
    assert names(tmp_path) == ["source"]


def test_nothing_is_left_without_commit(tmp_path, source):
    with OutputFolder(tmp_path / "out", source, 0, False):
        pass
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named(tmp_path, source, code):
    message = "out cannot be written: the disk is full"
    folder = OutputFolder(tmp_path / "out", source, 0, overwrite=False)
    with pytest.raises(OutputError, match=message), folder:
        raise OSError(code, os.strerror(code))
    assert names(tmp_path) == ["source"]


def test_another_input_output_error_is_passed_on(tmp_path, source):
    folder = OutputFolder(tmp_path / "out", source, 0, overwrite=False)
    with pytest.raises(OutputError, match="Input/output error"), folder:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_an_existing_folder_is_refused(tmp_path, source):
    write(tmp_path / "out", source, "old")
    with pytest.raises(OutputError, match="out exists"):
        write(tmp_path / "out", source)
    assert written(tmp_path / "out") == "old"


def test_overwriting_replaces_the_whole_folder(tmp_path, source):
    out = tmp_path / "out"
    write(out, source, "old")
    (out / "of the old").write_text("")
    write(out, source, overwrite=True)
    assert written(out) == "new"
    assert names(out) == ["manifest.json"]
    assert names(tmp_path) == ["out", "source"]


def test_the_old_folder_survives_a_failure(tmp_path, source):
    out = tmp_path / "out"
    write(out, source, "old")
    with pytest.raises(RuntimeError), OutputFolder(out, source, 0, overwrite=True):
        assert written(out) == "old"
        raise RuntimeError
    assert written(out) == "old"
    assert names(tmp_path) == ["out", "source"]


def test_the_old_folder_survives_a_failing_rename(tmp_path, source, monkeypatch):
    out = tmp_path / "out"
    write(out, source, "old")
    rename = type(out).rename

    def fail(path, target):
        if path.name.endswith("partial"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(type(out), "rename", fail)
    with pytest.raises(OutputError):
        write(out, source, overwrite=True)
    assert written(out) == "old"
    assert names(tmp_path) == ["out", "source"]


def test_what_trilobite_did_not_write_is_not_overwritten(tmp_path, source):
    out = tmp_path / "out"
    out.mkdir()
    write(out, source, overwrite=True)   # it was empty
    for text in ("{}", "not JSON", "[]"):
        (out / "manifest.json").write_text(text)
        with pytest.raises(OutputError, match="not written by Trilobite"):
            write(out, source, overwrite=True)
    (out / "manifest.json").unlink()
    (out / "thesis.txt").write_text("dear to somebody")
    with pytest.raises(OutputError, match="not written by Trilobite"):
        write(out, source, overwrite=True)
    file = tmp_path / "file"
    file.write_text("dear too")
    with pytest.raises(OutputError, match="not written by Trilobite"):
        write(file, source, overwrite=True)
    assert names(out) == ["thesis.txt"]


def test_a_folder_that_appeared_meanwhile_is_kept(tmp_path, source):
    out = tmp_path / "out"
    folder = OutputFolder(out, source, 0, overwrite=False)
    with pytest.raises(OutputError, match="exists"), folder:
        out.mkdir()
        (out / "another's").write_text("")
        folder.commit()
    assert names(out) == ["another's"]


@pytest.mark.parametrize("out", ["source", "source/out", "source/../source/a/b", "."])
def test_output_and_source_must_not_overlap(tmp_path, source, out):
    with pytest.raises(OutputError, match="overlap"):
        write(tmp_path / out, source, overwrite=True)
    assert names(tmp_path) == ["source"]


def test_a_link_to_the_source_overlaps_too(tmp_path, source):
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(OutputError, match="overlap"):
        write(tmp_path / "link", source, overwrite=True)


def test_free_space_is_checked_first(tmp_path, source, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"needs 90\.0 MB, and 100\.0 MB are free"):
        write(tmp_path / "deep" / "out", source, needed_bytes=90_000_000)
    assert names(tmp_path) == ["source"]
    write(tmp_path / "deep" / "out", source, needed_bytes=80_000_000)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, source):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "file" / "out", source)


KILLED = """
import os, signal, sys
from pathlib import Path
from trilobite.quant.output.atomic import OutputFolder
out, source, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
folder = OutputFolder(out, source, 0, overwrite=True).__enter__()
(folder.path / "manifest.json").write_text('{"trilobite_version": "killed"}')
rename = Path.rename
def die(path, target):
    rename(path, target)
    os.kill(os.getpid(), signal.SIGKILL)
if moment == "renaming":
    Path.rename = die
    folder.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(out, source, moment):
    code = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), str(source), moment], check=False
    ).returncode
    assert code == -9


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, source):
    out = tmp_path / "out"
    killed(out, source, "writing")
    assert names(tmp_path) == [".out.trilobite-partial", "source"]
    write(out, source)
    assert written(out) == "new"
    assert names(tmp_path) == ["out", "source"]


def test_a_replacement_that_was_killed_is_undone_by_the_next(tmp_path, source):
    out = tmp_path / "out"
    write(out, source, "old")
    killed(out, source, "renaming")
    assert names(tmp_path) == [".out.trilobite-partial", ".out.trilobite-replaced", "source"]
    with pytest.raises(OutputError, match="exists"):
        write(out, source, overwrite=False)
    assert written(out) == "old"
    assert names(tmp_path) == ["out", "source"]


def test_two_processes_do_not_write_the_same_folder(tmp_path, source):
    with OutputFolder(tmp_path / "out", source, 0, False) as folder:
        with pytest.raises(OutputError, match="Another process"):
            write(tmp_path / "out", source)
        assert folder.path.exists()
