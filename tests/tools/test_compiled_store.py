"""Compiled code on disk: never stale, healed when damaged, and done without where it must be."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import trilobite
from support.watch import Watch
from trilobite.runtime.compiling import when_compiling
from trilobite.tools import compiled_store
from trilobite.tools.cache import CacheWarning, warn_once
from trilobite.tools.compiled import njit

ROOT = Path(trilobite.__file__).parent


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The folder of compiled code, empty."""
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path / "cache"))
    warn_once.cache_clear()
    return tmp_path / "cache" / "compiled"


def fresh():
    """A function that was not compiled in this process yet, the same each time."""
    @njit
    def thrice(x):
        return 3 * x

    return thrice


def compiles(function, *arguments):
    """Whether a call compiles; its result must be right, and nothing may be said."""
    watch = Watch()
    with warnings.catch_warnings(), when_compiling(watch):
        warnings.simplefilter("error")
        assert function(*arguments) == 3 * arguments[0]
    return bool(watch.notes)


def test_what_was_compiled_once_is_loaded(store):
    assert compiles(fresh(), 2) and not compiles(fresh(), 3)
    assert compiles(fresh(), 2.5) and not compiles(fresh(), 3.5)   # other types, another form
    assert len(list(store.iterdir())) == 2
    assert store.stat().st_mode & 0o777 == store.parent.stat().st_mode & 0o777 == 0o700


def test_options_are_part_of_the_name(store):
    assert compiles(fresh(), 2)
    assert compiles(njit(error_model="numpy")(fresh().py_func), 2)


def damaged(data):
    half = len(data) // 2
    return {
        "empty": b"", "cut": data[:half], "longer": data + b"\0",
        "bit": data[:half] + bytes([data[half] ^ 1]) + data[half + 1:],
        "garbage": b"\x80\x04garbage", "head": b"X" + data[1:],
    }


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "bit", "garbage", "head"])
def test_a_damaged_file_is_compiled_and_written_again(store, damage):
    assert compiles(fresh(), 2)
    path, = store.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damaged(whole)[damage])
    with pytest.warns(CacheWarning, match=f"{path} is damaged .its checksum is wrong.; it is comp"):
        assert fresh()(2) == 6
    assert not compiles(fresh(), 2)
    assert [path] == list(store.iterdir())


def test_what_cannot_be_linked_is_compiled_again(store):
    assert compiles(fresh(), 2)
    path, = store.iterdir()
    compiled_store._write(path, b"no pickle")
    with pytest.warns(CacheWarning, match="is damaged"):
        assert fresh()(2) == 6
    assert not compiles(fresh(), 2)


def test_without_a_folder_everything_works_and_one_sentence_says_why(store, monkeypatch):
    store.parent.write_text("not a folder")
    with pytest.warns(CacheWarning) as said:
        assert fresh()(2) == 6 and fresh()(2.5) == 7.5
    assert len(said) == 1
    assert str(said[0].message) == (
        f"The cache folder {store} is not used: it cannot be made (File exists); set "
        "TRILOBITE_CACHE to a folder that only you can write, so kernels are compiled anew in each "
        "process")


def test_a_first_run_without_a_home_computes_and_says_why_it_is_slow():
    """As in a container whose user has no folder: the package alone, which nobody may write."""
    code = ("import numpy as np\n"
            "from trilobite.runtime.kernels.elementwise import relu2_gate\n"
            "print(relu2_gate(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32)).sum())")
    environment = {"HOME": os.devnull + "/none", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True,
                          env=environment, check=True)
    assert done.stdout.split() == ["2.0"]
    assert done.stderr.count("is not used: it cannot be made (Not a directory)") == 1
    assert "Traceback" not in done.stderr


def test_a_folder_that_everybody_can_write_is_not_used(store):
    store.mkdir(parents=True)
    store.chmod(0o777)
    with pytest.warns(CacheWarning, match=f"is not used: everybody can write in {store};"):
        assert fresh()(2) == 6
    assert list(store.iterdir()) == []


def test_a_full_disk_is_done_without(store):
    """No file of this process may have a byte, as on a disk that is full."""
    code = ("import resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            "from trilobite.tools.compiled import njit\n"
            "print(njit(lambda x: 3 * x)(2))\n"
            "print(njit(lambda x: 4 * x)(2))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "8"]
    assert done.stderr.count("Compiled code cannot be kept in") == 1
    assert list(store.iterdir()) == []


def test_processes_that_compile_the_same_at_once_leave_one_file(store):
    code = "from trilobite.tools.compiled import njit\nprint(njit(lambda x: 3 * x)(2))"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
               for _ in range(3)]
    assert [process.communicate()[0] for process in running] == ["6\n"] * 3
    assert len(list(store.iterdir())) == 1


def test_what_was_used_the_longest_ago_goes_first(store, monkeypatch):
    store.mkdir(parents=True)
    for name, age in (("b", 2), ("a", 3), ("c", 1), (".writing-of-a-killed-process", 4)):
        (store / name).write_bytes(bytes(1000))
        os.utime(store / name, (age, age))
    monkeypatch.setenv("TRILOBITE_CACHE_BYTES", "2500")
    compiled_store._write(store / "d", bytes(400))
    assert sorted(path.name for path in store.iterdir()) == ["a", "b", "d"]


def test_a_file_in_use_is_young(store):
    assert compiles(fresh(), 2)
    path, = store.iterdir()
    os.utime(path, (0, 0))
    assert not compiles(fresh(), 2)
    assert path.stat().st_mtime > 1e9


def test_an_edit_in_another_file_of_the_package_is_seen_at_once(store, tmp_path):
    """The package itself, copied: ``quantize_activations`` calls what ``functions`` defines."""
    copy = tmp_path / "trilobite"
    for folder in ("numerics", "tools"):
        shutil.copytree(ROOT / folder, copy / folder)
    for file in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / file, copy)
    code = ("import numpy as np\nfrom trilobite.numerics import quantize_activations\n"
            "print(quantize_activations(np.array([[1, 2, 4]], np.float32))[0].tolist())")

    def run():
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                              text=True, check=False)
        return done.stdout + done.stderr

    assert run() == run() == "[[32, 64, 127]]\n"
    before = set(store.iterdir())
    edited = copy / "numerics" / "functions.py"
    original = edited.read_text()
    edited.write_text(f"{original}\n\n@scalar\ndef reciprocal(x):\n    return np.float32(0.125)\n")
    assert run() == "[[16, 32, 64]]\n"
    edited.write_text(original)
    after = set(store.iterdir())
    assert run() == "[[32, 64, 127]]\n"
    assert before < after == set(store.iterdir())   # what it was is still there
