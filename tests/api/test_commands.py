"""Each command has a function of the package under its name, and no function is out of reach."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import trilobite
from trilobite.cli import app

ROOT = Path(trilobite.__file__).parent

# Functions that a command needs beside the one of its own name.
PARTS = {
    "calibration": "quantize", "check_designs": "explore", "draw_requests": "serve-sim",
    "estimate_here": "estimate", "load": "generate", "quantize_onnx": "quantize",
    "range_text": "estimate",
    "studies": "study", "time_engine": "estimate",
}


def commands(group, words=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


COMMANDS = [" ".join(words) for words in commands(get_command(app))]
FUNCTIONS = {name for name in trilobite.__all__ if inspect.isfunction(getattr(trilobite, name))}


def test_there_is_a_function_for_each_command_and_a_command_for_each_function():
    assert {name.replace(" ", "_").replace("-", "_") for name in COMMANDS} == FUNCTIONS - set(PARTS)
    assert set(PARTS.values()) <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_command_calls_its_function(name):
    """The file of the command imports it, or a function that itself calls it."""
    command = PARTS.get(name, name).replace("-", "_")
    imported = _imported(ROOT / "cli" / f"{command}.py")
    function = getattr(trilobite, name)
    within = {called for one in imported if callable(one) for called in _called(one)}
    assert function in imported or name in within


def _imported(path):
    """What a file imports of ``api``, as objects, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("api."):
            module = __import__(f"trilobite.{node.module}", fromlist=["*"])
            found += [getattr(module, alias.name) for alias in node.names]
    return found


def _called(function):
    """Names in the module of ``function`` that calls something, as ``_simulate`` does."""
    module = sys.modules[function.__module__]
    return {node.func.id for node in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def test_nothing_of_the_interface_prints_or_knows_the_command_line():
    for path in sorted((ROOT / "api").glob("*.py")):
        tree = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                   for alias in node.names]
        modules += [node.module or "" for node in ast.walk(tree)
                    if isinstance(node, ast.ImportFrom)]
        assert "print" not in names, path
        assert not [module for module in modules
                    if module.partition(".")[0] in ("rich", "typer", "cli", "sys")], path


def test_help_waits_neither_for_numba_nor_for_amaranth():
    program = (
        "import sys, contextlib, io\n"
        "from trilobite.cli.app import app\n"
        "import trilobite.cli\n"
        "for command in sys.argv[1:]:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        app([*command.split(), '--help'])\n"
        "print(sorted({'numba', 'amaranth', 'torch', 'cocotb'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, "", "verify", *COMMANDS],
                          capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
