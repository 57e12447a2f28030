"""What slang, a front end of SystemVerilog from PyPI, says of the Verilog that is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from ...errors import ToolError
from ...tools.programs import package_folder

__all__ = ["check_verilog"]

# What Yosys writes of Amaranth's RTLIL, and is meant so: operands are extended and results cut as
# Amaranth's shapes say, which Verilog's rules do too, and a value stands before each case.
_MEANT = {"ArithOpMismatch", "CaseDefault", "SignConversion", "WidthExpand", "WidthTruncate"}
_SHOWN = 5   # problems that the message names


def check_verilog(sources: Mapping[str, bytes], generated: str) -> None:
    """Parse and elaborate Verilog files, by name; only the one called ``generated`` has exceptions.

    Raises
    ------
    ToolError
        slang is not installed, or has anything to say.
    """
    package_folder("pyslang", "a project for Vivado", "board")
    import pyslang  # noqa: PLC0415 - only who builds has it

    compilation, manager = pyslang.ast.Compilation(), pyslang.SourceManager()
    for name, content in sources.items():
        compilation.addSyntaxTree(pyslang.syntax.SyntaxTree.fromText(
            content.decode(), manager, name, name))
    found = [f"{PurePosixPath(name).name}: a signal has no bits"   # Verilog reads it as two
             for name, content in sources.items() if b"[-1:0]" in content]
    for problem in compilation.getAllDiagnostics():
        name = manager.getFileName(problem.location)
        code = str(problem.code).removeprefix("DiagCode(").removesuffix(")")
        if name != generated or code not in _MEANT:
            found.append(f"{PurePosixPath(name).name}:{manager.getLineNumber(problem.location)}: "
                         f"{code} {' '.join(map(str, problem.args))}".rstrip())
    if found:
        raise ToolError(f"slang refuses the Verilog that was written: {'; '.join(found[:_SHOWN])}")
