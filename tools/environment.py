"""What a program that this one starts is told: little, and nothing of the current folder.

Whoever runs a command may stand in a folder that a stranger filled: a model's, a download's. So
nothing is imported from there and no program is looked for there, here or in any child.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

__all__ = [
    "child_environment",
    "import_path",
    "leave_current_folder_out",
    "program_path",
    "safe_interpreters",
    "without_current",
]

# All that passes, beside LC_*: where the user's files are, the language, what limits this run.
_PASSED = (
    "HOME", "LOGNAME", "USER", "LANG", "LANGUAGE", "TZ", "TRILOBITE_KERNEL", "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "SDKROOT",
    "DEVELOPER_DIR", "TRILOBITE_CACHE_BYTES",
)
_FOLDERS = ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "CCACHE_DIR", "TRILOBITE_CACHE")
_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH")


def child_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: ``variables``, and of this process's what is listed above.

    Its PATH and the other lists of folders keep their absolute entries (an empty or a relative one
    is the current folder), and Python imports from ``import_path`` alone. Options of make,
    Verilator, cocotb, Perl, Python or the loader that happen to be set do not pass.
    """
    ours = os.environ
    passed = {name: value for name, value in ours.items()
              if name in _PASSED or name.startswith("LC_")}
    passed |= {name: str(Path(ours[name]).absolute()) for name in _FOLDERS if ours.get(name)}
    passed |= {name: folders for name in _PATHS if (folders := _absolute(ours.get(name, "")))}
    python = {"PYTHONPATH": os.pathsep.join(import_path()), "PYTHONSAFEPATH": "1"}
    return {**passed, "PATH": program_path(), **python, **(variables or {})}


def program_path() -> str:
    """PATH without entries that mean the current folder; empty if nothing is left."""
    return _absolute(os.environ.get("PATH", os.defpath))


def import_path(*packages: str) -> list[str]:
    """The folders that this process imports from, the current one left out.

    The folders of this package and of ``packages`` are there in any case.
    """
    folders = without_current(sys.path)
    for name in (__name__.partition(".")[0], *packages):
        if not _importable(name, folders) and (spec := find_spec(name)):
            inside = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
            folders += [str(Path(path).parent) for path in inside]
    return folders


def leave_current_folder_out() -> None:
    """Import nothing from the current folder and find no program there, here and in children.

    For a command, whose process is its own; the interpreter puts the current folder first for
    ``python -m``, and an empty entry in PYTHONPATH or PATH means it too.
    """
    sys.path[:] = without_current(sys.path)
    os.environ["PATH"] = program_path()
    os.environ["PYTHONSAFEPATH"] = "1"   # of interpreters that other packages start


@contextmanager
def safe_interpreters() -> Iterator[None]:
    """Let interpreters that other packages start in this block not import from their folder."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _absolute(folders: str) -> str:
    return os.pathsep.join(folder for folder in folders.split(os.pathsep)
                           if Path(folder).is_absolute())


def without_current(folders: Iterable[str]) -> list[str]:
    """The ``folders`` that are absolute paths, without the current folder."""
    try:
        current = Path.cwd().resolve()
    except FileNotFoundError:   # it was removed
        current = None
    return [folder for folder in folders
            if Path(folder).is_absolute() and Path(folder).resolve() != current]


def _importable(name: str, folders: list[str]) -> bool:
    """Whether a child finds ``name``: in ``folders``, or by a finder of an editable install."""
    if PathFinder.find_spec(name, folders):
        return True
    finders = (finder for finder in sys.meta_path if finder is not PathFinder)
    return any(finder.find_spec(name, None) for finder in finders)
