"""What is read is regular, bounded and in its folder; what is written is complete or not there."""

import errno
import fcntl
import os
import stat
import threading

import pytest

from trilobite.errors import CheckpointError, OutputError, TrilobiteError
from trilobite.tools.files import (
    create,
    is_own_file,
    open_regular,
    read_bounded,
    read_text_bounded,
    write_output,
)


def pipe(folder):
    os.mkfifo(folder / "x")


def folder(folder):
    (folder / "x").mkdir()


def endless(folder):
    (folder / "x").symlink_to("/dev/zero")


def dangling(folder):
    (folder / "x").symlink_to(folder / "nothing")


def looping(folder):
    (folder / "x").symlink_to(folder / "y")
    (folder / "y").symlink_to(folder / "x")


def missing(folder):
    del folder


@pytest.mark.parametrize("make", [pipe, folder, endless, dangling, looping, missing])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, make):
    make(tmp_path)
    with pytest.raises(CheckpointError, match=str(tmp_path / "x")):
        open_regular(tmp_path / "x", CheckpointError)
    with pytest.raises(CheckpointError, match=str(tmp_path / "x")):
        read_bounded(tmp_path / "x", 10, CheckpointError, within=tmp_path)


def test_no_more_is_read_than_the_limit(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bounded(tmp_path / "x", 5) == b"12345"
    with pytest.raises(TrilobiteError, match="larger than 4 bytes"):
        read_bounded(tmp_path / "x", 4)
    (tmp_path / "x").write_bytes(b"ab\xff")
    with pytest.raises(TrilobiteError, match="not UTF-8: .* at byte 2"):
        read_text_bounded(tmp_path / "x", 5)


def test_a_link_is_followed_inside_its_folder_and_not_out_of_it(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "secret").write_text("secret")
    (model / "real").write_text("fine")
    (model / "inside").symlink_to("real")
    (model / "outside").symlink_to("../secret")
    assert read_bounded(model / "inside", 9, within=model) == b"fine"
    with pytest.raises(TrilobiteError, match="link to .*secret, outside of its folder"):
        read_bounded(model / "outside", 9, within=model)


def test_a_snapshot_of_a_hub_cache_is_read(tmp_path):
    snapshot, blobs = tmp_path / "models--a" / "snapshots" / "1f", tmp_path / "models--a" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_text("fine")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    assert read_bounded(snapshot / "config.json", 9, within=snapshot) == b"fine"
    (tmp_path / "models--b" / "blobs").mkdir(parents=True)
    (tmp_path / "models--b" / "blobs" / "abc").write_text("another's")
    (snapshot / "other.json").symlink_to(tmp_path / "models--b" / "blobs" / "abc")
    with pytest.raises(TrilobiteError, match="outside of its folder"):
        read_bounded(snapshot / "other.json", 9, within=snapshot)


def test_a_new_file_takes_nobodys_name(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "x").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        create(tmp_path / "x")
    os.close(create(tmp_path / "y"))
    assert is_own_file(tmp_path / "y")
    (tmp_path / "z").hardlink_to(tmp_path / "victim")
    assert not any(is_own_file(tmp_path / name) for name in ("x", "z", "nothing"))


def test_a_file_is_replaced_in_one_step_and_keeps_its_permissions(tmp_path):
    target = tmp_path / "report.html"
    write_output(target, "one")
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask()
    target.chmod(0o600)
    write_output(target, b"two")
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("two", 0o600)
    (tmp_path / "link").symlink_to(target)
    write_output(tmp_path / "link", "three")
    assert (tmp_path / "link").is_symlink() and target.read_text() == "three"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "report.html"]


def test_a_pipe_and_a_device_are_written_into(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_output(tmp_path / "pipe", "through it")
    reader.join()
    assert got == ["through it"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    (tmp_path / "null").symlink_to("/dev/null")
    write_output(tmp_path / "null", "gone")
    assert (tmp_path / "null").is_symlink() and (tmp_path / "null").is_char_device()


@pytest.mark.parametrize("name", ["folder", "nowhere/x", "a" * 5000, "\0", "~nosuchuser/x"])
def test_where_nothing_can_be_written_a_sentence_says_so(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="name a file|cannot be written"):
        write_output(type(tmp_path)(name), "x")


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("older")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trilobite.tools.files.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_output(tmp_path / "x", "newer")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "older")]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_a_killed_process_left_goes_and_what_a_live_one_writes_stays(tmp_path):
    """Beside other names, which are not ours."""
    others = [".run.json.0123456789abcdef.tm", ".run.json.0123456789ABCDEF.tmp", "run.json.tmp",
              ".other.json.0123456789abcdef.tmp"]
    for name in (*others, ".run.json.0123456789abcdef.tmp", ".run.json.fedcba9876543210.tmp"):
        (tmp_path / name).write_text("half")
    with (tmp_path / ".run.json.fedcba9876543210.tmp").open() as live:
        fcntl.flock(live, fcntl.LOCK_EX)
        write_output(tmp_path / "run.json", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*others, ".run.json.fedcba9876543210.tmp", "run.json"])


def test_a_name_that_was_taken_for_abandoned_is_not_written_to(tmp_path, monkeypatch):
    """Another process removes the new file before it is locked."""
    lock, removed = fcntl.flock, []

    def late(descriptor, how):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_output(tmp_path / "run.json", "whole")
    assert len(removed) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert (tmp_path / "run.json").read_text() == "whole"
