"""Nothing a child is told leads it to the current folder."""

import os
import sys
from pathlib import Path

import pytest

import trilobite
from trilobite.errors import ToolError
from trilobite.tools import environment
from trilobite.tools.environment import (
    child_environment,
    import_path,
    leave_current_folder_out,
    safe_interpreters,
)
from trilobite.tools.programs import optional_program, program

HOME = str(Path(trilobite.__file__).parents[1])


@pytest.mark.parametrize(("path", "left"), [
    ("", ""), (":/bin", "/bin"), ("/bin:", "/bin"), ("/bin::/usr/bin", "/bin:/usr/bin"),
    (".:bin:../bin:/bin", "/bin"),
])
def test_only_absolute_folders_stay_on_path(monkeypatch, path, left):
    monkeypatch.setenv("PATH", path)
    assert child_environment()["PATH"] == left


def test_a_program_in_the_current_folder_is_not_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "perl").write_text("#!/bin/sh\n")
    (tmp_path / "perl").chmod(0o755)
    for path in (".", ":", ""):
        monkeypatch.setenv("PATH", path)
        assert optional_program("perl") is None
        with pytest.raises(ToolError, match="'perl' is not on PATH"):
            program("perl")
    monkeypatch.setenv("PATH", f".:{tmp_path}")   # named outright, it is the user's wish
    assert program("perl") == str(tmp_path / "perl")


def test_lists_of_libraries_lose_the_current_folder(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", ":/opt/lib:")
    monkeypatch.setenv("CPATH", ":.")
    told = child_environment()
    assert told["LD_LIBRARY_PATH"] == "/opt/lib" and "CPATH" not in told


def test_folders_of_the_user_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRILOBITE_CACHE", "here")
    assert child_environment()["TRILOBITE_CACHE"] == str(tmp_path / "here")


def test_python_imports_from_where_this_one_does_but_for_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    linked = tmp_path.with_name(f"{tmp_path.name}-link")
    linked.symlink_to(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "lib", str(tmp_path), str(linked), "/opt/lib", *sys.path])
    found = import_path()
    assert found[0] == "/opt/lib"
    assert set(found) & {"", "lib", str(tmp_path), str(linked)} == set()
    told = child_environment()
    assert told["PYTHONPATH"].split(os.pathsep) == found and told["PYTHONSAFEPATH"] == "1"


def test_this_package_and_a_named_one_are_found_even_if_they_stand_in_the_current_folder(
    monkeypatch, tmp_path
):
    (tmp_path / "benches").mkdir()
    (tmp_path / "benches" / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert str(tmp_path) not in import_path()
    assert import_path("benches")[-1] == str(tmp_path)
    monkeypatch.setattr(environment, "_importable", lambda name, folders: False)
    assert import_path()[-1] == HOME


def test_a_command_takes_the_current_folder_off_its_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ":/bin")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/opt/lib"])
    leave_current_folder_out()
    assert sys.path == ["/opt/lib"] and os.environ["PATH"] == "/bin"
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_a_current_folder_that_was_removed_is_none(monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "path", ["", "/opt/lib"])
    assert environment.without_current(sys.path) == ["/opt/lib"]


@pytest.mark.parametrize("before", [None, "0"])
def test_other_packages_interpreters_are_safe_for_a_while(monkeypatch, before):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONSAFEPATH", before)
    with safe_interpreters():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ.get("PYTHONSAFEPATH") == before
