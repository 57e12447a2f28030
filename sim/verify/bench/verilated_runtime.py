"""Verilator's own part of a simulator, which is the same for every design: compiled once.

It is most of the work. Of what a small design's own part takes, reading Verilator's headers is
three quarters, so these are compiled once too, where the compiler is GCC: Clang refuses headers
that were compiled in another folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ....tools.cache import cached_folder, content_key
from ....tools.programs import optional_program, program, run_program

__all__ = ["make_simulator"]

_HEADER = "precompiled.h"
_COMPILED = f"{_HEADER}.gch"
_INCLUDED = "#include <memory>\n#include <string>\n" + "".join(
    f'#include "{name}.h"\n' for name in ("verilated", "verilated_dpi", "verilated_vpi"))
_RULE = f"{_COMPILED}: {_HEADER}\n\t$(CXX) $(CPPFLAGS) $(OPT_FAST) -x c++-header -o $@ $<\n"


def make_simulator(folder: Path, fingerprint: list[str], level: str, make: Callable[..., None]
                   ) -> None:
    """Compile what Verilator wrote to ``folder``.

    Parameters
    ----------
    folder : Path
        Its ``Vtop.mk`` and sources.
    fingerprint : list[str]
        What the objects of Verilator's own part depend on, the compiler aside.
    level : str
        How far the compiler optimizes the design's own part: ``-O2``.
    make : Callable[..., None]
        ``make(*arguments)`` runs make in the folder.

    Raises
    ------
    ToolError
        The compiler fails.
    """
    compiler = run_program([program("c++"), "--version"], folder, "Asking c++ for its version")
    settings = [f"OPT_FAST={level}", f"OPT_SLOW={level}", "OPT_GLOBAL=-O2"]
    if ("Free Software Foundation" in compiler and not optional_program("ccache")
            and "VM_PARALLEL_BUILDS = 0" in (folder / "Vtop_classes.mk").read_text()):
        # A large design, which is compiled in parts, has compiled headers of its own.
        _precompile_headers(folder, content_key([*fingerprint, compiler, level]),
                            lambda: make("-f", "precompiled.mk", f"OPT_FAST={level}", _COMPILED))
        settings[0] += f" -include {_HEADER} -Winvalid-pch"

    def compile_first(runtime: Path) -> None:
        make(*settings)
        for compiled in folder.glob("verilated*.o"):
            shutil.copy(compiled, runtime)

    key = content_key([*fingerprint, compiler])
    for compiled in cached_folder("sim", f"verilator-runtime-{key}", compile_first).iterdir():
        shutil.copy(compiled, folder)   # newer than its source, so make leaves it alone
    make(*settings)


def _precompile_headers(folder: Path, key: str, make: Callable[[], None]) -> None:
    """Put the header that the compiler shall include into ``folder``, and it compiled (75 MB)."""
    (folder / _HEADER).write_text(_INCLUDED)

    def compile_first(headers: Path) -> None:
        (folder / "precompiled.mk").write_text(_RULE)
        make()
        shutil.move(folder / _COMPILED, headers)

    headers = cached_folder("sim", f"verilator-headers-{key}", compile_first)
    (folder / _COMPILED).symlink_to(headers / _COMPILED)
