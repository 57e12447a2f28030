"""Numba comes into the package by one door, past the settings file of the current folder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trilobite

ROOT = Path(trilobite.__file__).parent
OUTSIDE = {"benchmarks", "build", "demo", "docs", "examples", "tests"}   # not of the package
DOOR = "tools/numba_import.py"


def numba_imports(text):
    """Lines of a source that import Numba itself."""
    for node in ast.walk(ast.parse(text)):
        modules = ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                   else [str(node.module)] if isinstance(node, ast.ImportFrom) and not node.level
                   else [])
        if any(module.partition(".")[0] == "numba" for module in modules):
            yield node.lineno


def test_no_other_file_imports_numba():
    found = [f"{path}:{line}" for file in ROOT.rglob("*.py")
             if (path := file.relative_to(ROOT).as_posix()) != DOOR
             and path.partition("/")[0] not in OUTSIDE and not path.startswith(".")
             for line in numba_imports(file.read_text())]
    assert found == []
    assert list(numba_imports((ROOT / DOOR).read_text()))


@pytest.mark.parametrize("text", ["import numba", "from numba import njit", "import numba.core",
                                  "def f():\n    from numba.core import event"])
def test_every_import_is_seen(text):
    assert list(numba_imports(text))


def run(folder, code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, check=True,
                          capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize("settings", ["disable_jit: 1\nopt: '0'\n", "{not: [yaml", "\xff"])
def test_the_settings_file_is_not_read(tmp_path, settings):
    (tmp_path / ".numba_config.yaml").write_text(settings, encoding="latin-1")
    code = ("from trilobite.tools.compiled import njit, numba\nimport yaml\n"
            "print(njit(lambda x: x + 1)(1), numba.config.DISABLE_JIT, numba.config.OPT + 0)\n"
            "print(yaml.dump(1))")
    assert run(tmp_path, code).startswith("2 0 3\n1")


def test_variables_count(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_OPT", "1")
    code = "from trilobite.tools.compiled import numba; print(numba.config.OPT + 0)"
    assert run(tmp_path, code) == "1\n"


def test_numba_that_was_there_before_is_left_alone(tmp_path):
    (tmp_path / ".numba_config.yaml").write_text("opt: '1'\n")
    code = ("import numba\nfrom trilobite.tools import compiled\n"
            "print(compiled.numba is numba, numba.config.OPT + 0)")
    assert run(tmp_path, code) == "True 1\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "passive 1000"),
        ({"GOMP_SPINCOUNT": "7"}, "passive 7"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
    ],
)
def test_openmp_sleeps_while_it_waits_whatever_is_imported_first(given, expected, tmp_path,
                                                                monkeypatch):
    variables = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code = (f"import os, trilobite.{DOOR[:-3].replace('/', '.')}\n"
            f"print(*map(os.environ.get, {variables}))")
    assert run(tmp_path, code) == f"{expected}\n"
