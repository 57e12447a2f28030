"""One file starts programs: no other of the package does it past the rules that hold there."""

import ast
from pathlib import Path

import pytest

import trilobite

ROOT = Path(trilobite.__file__).parent
OUTSIDE = {"benchmarks", "build", "demo", "docs", "examples", "tests"}   # not of the package
STARTERS = {"tools/programs.py", "tools/supervisor.py"}
MODULES = {"subprocess", "multiprocessing", "pty", "pexpect", "_posixsubprocess", "runpy"}
NAMES = {"ProcessPoolExecutor", "create_subprocess_exec", "create_subprocess_shell"}
CALLS = ("system", "popen", "fork", "forkpty", "exec", "spawn", "posix_spawn", "startfile")


def starts(text):
    """Lines of a source that import what starts programs, or use it of ``os``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            base = str(node.module)
            names = [base.partition(".")[0], *(alias.name for alias in node.names)]
            if base == "os":
                names += [f"os.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}", node.attr]
        else:
            continue
        if any(name in MODULES | NAMES or name.startswith(tuple(f"os.{call}" for call in CALLS))
               for name in names):
            yield node.lineno


def test_no_other_file_starts_a_program():
    found = [f"{path}:{line}" for file in ROOT.rglob("*.py")
             if (path := file.relative_to(ROOT).as_posix()) not in STARTERS
             and path.partition("/")[0] not in OUTSIDE and not path.startswith(".")
             for line in starts(file.read_text())]
    assert found == []


@pytest.mark.parametrize("text", [
    "import subprocess", "from subprocess import run", "import os\nos.system('ls')",
    "import os\nos.execv('/bin/ls', [])", "import multiprocessing.pool", "import pty",
    "from concurrent.futures import ProcessPoolExecutor", "from os import fork",
    "import concurrent.futures as f\nf.ProcessPoolExecutor()", "import os\nos.posix_spawn()",
    "import asyncio\nasyncio.create_subprocess_exec('ls')",
])
def test_every_way_to_start_one_is_seen(text):
    assert list(starts(text))
