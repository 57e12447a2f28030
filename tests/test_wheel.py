"""The wheel holds every module and every data file of the package, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import trilobite

ROOT = Path(trilobite.__file__).parent
OUTSIDE = {".ci", ".github", "benchmarks", "docs", "examples", "requirements", "tests"}


@pytest.fixture(scope="module")
def tracked():
    """Files under version control, as paths from the root."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is not a checkout")
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).exists()]


@pytest.fixture(scope="module")
def wheel(tracked, tmp_path_factory):
    """Names of the files in the wheel, built of a copy of the tracked files."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in tracked:
        if path.parts[0] not in OUTSIDE:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).symlink_to(ROOT / path)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
               "--wheel-dir", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    file, = out.glob("trilobite-*.whl")
    return {name.removeprefix("trilobite/") for name in zipfile.ZipFile(file).namelist()
            if name.startswith("trilobite/")}


def test_the_wheel_holds_the_package(wheel, tracked):
    inside = {str(path) for path in tracked
              if path.parts[0] not in OUTSIDE and (len(path.parts) > 1 or path.suffix == ".py")}
    assert wheel == inside | {"py.typed"}


