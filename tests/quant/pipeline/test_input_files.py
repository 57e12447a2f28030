"""Hashes made beside the work, and large files that leave the system's cache behind it."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from support.llama_folder import contents, write_llama
from support.watch import Watch
from trilobite.quant.checkpoint import TensorInfo, open_checkpoint
from trilobite.quant.pipeline import finite, input_files, quantize
from trilobite.quant.pipeline.input_files import InputHashes, hashed
from trilobite.tools.progress import SILENT

BLOCK = 1 << 12


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files of 16 blocks each, which count as large."""
    monkeypatch.setattr(input_files, "_HASH_BYTES", BLOCK)
    monkeypatch.setattr(input_files, "_LEAD_BYTES", 4 * BLOCK)
    monkeypatch.setattr(input_files, "is_large", lambda nbytes: True)
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(os.urandom(16 * BLOCK))
    return paths


@pytest.fixture
def dropped(monkeypatch):
    """What left the cache: (file, begin, length), in order."""
    calls = []

    def record(descriptor, begin, length, advice):
        assert advice == os.POSIX_FADV_DONTNEED
        calls.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), begin, length))

    monkeypatch.setattr(os, "posix_fadvise", record)
    return calls


def part(path, first, last):
    """A tensor of blocks ``first`` to ``last``."""
    return TensorInfo((1,), "F32", (last - first) * BLOCK, path, first * BLOCK)


def test_hashes_and_sizes_are_those_of_the_files(files):
    watch = Watch()
    with InputHashes(files, once=True) as hashes:
        found = hashes.files(watch)
    assert watch.done == 2 * 16 * BLOCK
    for file, path in zip(found, files, strict=True):
        data = path.read_bytes()
        assert (file.name, file.bytes) == (path.name, len(data))
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert file == hashed(path, lambda count: None)


def test_hashing_waits_for_the_work_and_what_both_passed_is_dropped(files, dropped, monkeypatch):
    seen, reached = [0], threading.Event()

    class Watched(InputHashes):
        def _passed(self, path, count):
            seen[0] += count
            if seen[0] >= 5 * BLOCK:
                reached.set()
            super()._passed(path, count)

    with Watched(files, once=True) as hashes:
        assert reached.wait(30)
        assert seen[0] == 5 * BLOCK      # one block beyond what it may be ahead
        assert dropped == []
        hashes.let_go(part(files[0], 0, 2))       # hashed already: goes at once
        assert dropped == [(str(files[0]), 0, 2 * BLOCK)]
        hashes.let_go(part(files[0], 2, 16))      # goes when hashing has passed it
        hashes.let_go(part(files[1], 0, 16))
        hashes.files(SILENT)
    assert sorted(dropped[1:]) == [
        (str(files[0]), 2 * BLOCK, 14 * BLOCK), (str(files[1]), 0, 16 * BLOCK),
    ]


def test_files_that_are_read_again_stay(files, dropped):
    with InputHashes(files, once=False) as hashes:
        hashes.let_go(part(files[0], 0, 16))
        hashes.files(SILENT)
    assert dropped == []


def test_an_error_in_the_work_ends_the_hashing(files):
    before = threading.active_count()
    with pytest.raises(OSError, match="full"), InputHashes(files, once=True) as hashes:
        raise OSError("full")
    hashes._thread.shutdown(wait=True)
    assert threading.active_count() == before
    assert isinstance(hashes._futures[0].exception(), input_files._StoppedError)
    assert hashes._futures[1].cancelled()


def test_only_a_good_part_of_the_memory_is_large():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert not input_files.is_large(memory // 4)
    assert input_files.is_large(memory // 4 + 1)


@pytest.mark.parametrize("format", ["int8", "fp8"])
def test_a_large_checkpoint_is_dropped_behind_each_reading_and_gives_the_same_folder(
    tmp_path, monkeypatch, dropped, format,
):
    write_llama(tmp_path / "llama")
    quantize(tmp_path / "llama", tmp_path / "small", format)
    assert dropped == []
    for module in (input_files, finite):
        monkeypatch.setattr(module, "is_large", lambda nbytes: True)
    monkeypatch.setattr(input_files, "_LEAD_BYTES", 0)
    quantize(tmp_path / "llama", tmp_path / "large", format)
    assert contents(tmp_path / "large") == contents(tmp_path / "small")
    file = str(tmp_path / "llama" / "model.safetensors")
    with open_checkpoint(tmp_path / "llama") as checkpoint:
        expected = [(file, info.begin, info.nbytes) for info in checkpoint.tensors.values()]
    assert sorted(dropped) == sorted(2 * expected)   # behind the look at all numbers, and the work
