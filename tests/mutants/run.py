"""Mutation testing of ``hw/`` and ``fpga/``: break one line, and see whether a test fails.

    python tests/mutants/run.py [--list] [--log FILE] [NAME]...

``mutants.toml`` names the mutants: a file, a line of it, what it is changed to, and the tests that
should fail then. Each is tried in a copy of the package, with the named tests alone, which must
pass without it; so a survivor says what these tests do not see. A mutant with ``equivalent`` is not
tried: the text says why no test can see it. The command ends with 1 if any other survives.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("mutants.toml")
LIMIT = 1800   # seconds for the tests of a mutant: one that hangs them is killed
FAILED, NONE_FAILED = 1, 0   # pytest's exit codes
LEFT_OUT = {".git", "build", ".venv", "demo", "docs"}


@dataclass(frozen=True)
class Mutant:
    """``old`` stands in ``file`` exactly once; ``tests`` are pytest's names of tests."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()
    equivalent: str = ""


def read_mutants(path: Path = TABLE) -> list[Mutant]:
    """The mutants of a table."""
    rows = tomllib.loads(path.read_text())["mutant"]
    return [Mutant(**row | {"tests": tuple(row.get("tests", ()))}) for row in rows]


def mutated(text: str, mutant: Mutant) -> str:
    """A file's text with the mutant in it."""
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has {mutant.old!r} "
                         f"{text.count(mutant.old)} times, not once")
    return text.replace(mutant.old, mutant.new)


def copy_of(root: Path, folder: Path) -> Path:
    """A copy of the package, called as the original is imported."""
    target = folder / "trilobite"
    shutil.copytree(root, target, ignore=lambda path, names: [
        name for name in names if name in LEFT_OUT or name == "__pycache__"], symlinks=True)
    return target


def run_tests(tests: tuple[str, ...], copy: Path, limit: float = LIMIT) -> str:
    """``killed``, ``survived``, or ``broken``: the tests could not even begin."""
    environment = {**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=environment, timeout=limit,
                              capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return "killed"
    return {FAILED: "killed", NONE_FAILED: "survived"}.get(done.returncode, "broken")


def tried(mutant: Mutant, copy: Path) -> str:
    """What ``run_tests`` says with the mutant in the copy, which is right again afterwards."""
    file = copy / mutant.file
    right = file.read_text()
    file.write_text(mutated(right, mutant))
    try:
        return run_tests(mutant.tests, copy)
    finally:
        file.write_text(right)


def main(arguments: list[str] | None = None) -> int:
    """Try mutants, and print what became of each."""
    parser = argparse.ArgumentParser(description="Mutation testing of hw/ and fpga/")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; default: all")
    parser.add_argument("--list", action="store_true", help="print the mutants, and try none")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each to this file")
    chosen = parser.parse_args(arguments)
    mutants = [mutant for mutant in read_mutants()
               if not chosen.names or mutant.name in chosen.names]
    if unknown := set(chosen.names) - {mutant.name for mutant in mutants}:
        parser.error(f"there is no mutant {', '.join(sorted(unknown))}")
    if chosen.list:
        for mutant in mutants:
            old, new = (" ".join(text.split()) for text in (mutant.old, mutant.new))
            print(f"{mutant.name}: {mutant.file}: {old} -> {new}")
        return 0
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of(ROOT, Path(folder))
        for tests in sorted({mutant.tests for mutant in mutants if not mutant.equivalent}):
            if run_tests(tests, copy) != "survived":
                print(f"Without a mutant, these tests fail: {' '.join(tests)}")
                return 2
        for mutant in mutants:
            began = time.monotonic()
            became = "equivalent" if mutant.equivalent else tried(mutant, copy)
            seconds = time.monotonic() - began
            counts[became] = counts.get(became, 0) + 1
            print(f"{became:10} {seconds:6.0f} s  {mutant.name}", flush=True)
            if chosen.log:
                with chosen.log.open("a") as log:
                    log.write(json.dumps({"name": mutant.name, "became": became}) + "\n")
    print(", ".join(f"{count} {became}" for became, count in sorted(counts.items())))
    return int(counts.keys() & {"survived", "broken"} != set())


if __name__ == "__main__":
    sys.exit(main())
