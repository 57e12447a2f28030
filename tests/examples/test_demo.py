"""The demo: written against the public interface, it prints the tables that the commands print."""

import ast
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import trilobite
from trilobite.cli.console import Output, bytes_text
from trilobite.cli.estimate import print_estimates
from trilobite.cli.verify_engine import print_report
from trilobite.sim.verify.engine import MatrixResult, VerifyReport

FILE = Path(trilobite.__file__).parent / "examples" / "demo.py"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(console_of, show):
    """What ``show`` prints by ``console_of.console``."""
    file, console = io.StringIO(), console_of.console
    console_of.console = Console(file=file, width=100, highlight=False)
    try:
        show()
    finally:
        console_of.console = console
    return file.getvalue()


def test_it_needs_trilobite_alone():
    tree = ast.parse(FILE.read_text())
    modules = {name for node in ast.walk(tree) for name in (
        [alias.name for alias in node.names] if isinstance(node, ast.Import)
        else [node.module] if isinstance(node, ast.ImportFrom) else [])}
    others = {name for name in modules
              if name.partition(".")[0] not in sys.stdlib_module_names | {"rich"}}
    assert others == {"trilobite"}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name) and node.value.id == "trilobite"}
    assert used <= set(trilobite.__all__) and "verify_engine" in used


def test_estimates_are_the_commands_table(demo):
    found = trilobite.estimate(["bitnet-0.73b", "bitnet-2b"], hardware="tlmm-kv260")
    output = Output()
    expected = printed(output, lambda: print_estimates(output, found))
    shown = printed(demo, lambda: demo.print_estimates(found.results))
    assert expected.startswith(shown.rstrip("\n"))   # the command adds what is known of its error
    assert "BitNet 0.73B" in expected and " ms" in expected


def test_the_engine_is_the_commands_table(demo):
    rows = tuple(MatrixResult(f"model.layers.1.{name}", 96, 64, 4, 900, 800, 801, 0, None)
                 for name in ("mlp.up_proj", "mlp.down_proj"))
    report = VerifyReport(None, "verilator", 0.3, 0, rows)
    output = Output()
    expected = printed(output, lambda: print_report(output, report))
    assert printed(demo, lambda: (demo.print_engine(rows), demo.print_verdict(report))) == expected
    assert "All 768 sums equal" in expected


def test_wrong_sums_end_it(demo):
    row = MatrixResult("a", 2, 2, 1, 9, 8, 8, 3, None)
    report = VerifyReport(None, "verilator", 0.3, 0, (row,))
    with pytest.raises(SystemExit, match="differs from the runtime"):
        demo.print_verdict(report)


@pytest.mark.parametrize("nbytes", [1e3, 923_980, 999_994, 1e6, 6_830_000.5, 9.9e8])
def test_sizes_are_the_commands(demo, nbytes):
    assert demo.size(nbytes) == bytes_text(np.float64(nbytes))
