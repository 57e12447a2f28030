"""The lock file has every package that the extras ask for, in a version that they allow."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import trilobite

ROOT = Path(trilobite.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = [Requirement(text) for text in (
    *PROJECT["dependencies"], *EXTRAS["rtl"], *EXTRAS["synth"], *EXTRAS["board"], *EXTRAS["dev"],
)]
LOCKED = re.findall(r"^([\w.-]+)==([^ ;\\]+)([^\n]*)((?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)+)",
                    (ROOT / "requirements" / "dev.lock").read_text(), re.M)


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_package_is_locked_in_a_version_that_is_allowed(asked):
    if asked.name == "torch":
        pytest.skip("installed apart: its build for the CPU alone is another file")
    versions = [version for name, version, *_ in LOCKED if canonical(name) == canonical(asked.name)]
    assert versions, f"{asked.name} is not locked: make lock"
    assert all(version in asked.specifier for version in versions), f"{versions}: make lock"


def test_every_line_has_a_hash():
    text = (ROOT / "requirements" / "dev.lock").read_text()
    assert len(LOCKED) == len(re.findall(r"^[\w.-]+==", text, re.M)) > 50


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()
